/**
 * A pipe that is always at work a little: what it says is echoed and compared, again and again. For
 * sessions whose processes are stopped, killed, cut off.
 */
import { randomBytes } from 'node:crypto'
import type { Trunk, TrunkError } from '../../src/index.ts'

/** How it goes. */
export interface SteadyEcho {
  /** Rounds whose bytes all came back as they were. */
  rounds(): number
  /**
   * The code by which it failed; undefined when it was stopped. Anything but a coded error rejects.
   */
  readonly ended: Promise<string | undefined>
  stop(): void
}

/**
 * Starts it over `trunk`, whose peer serves `echo`: `bytes` a round, one after the other with
 * `restMs` between.
 */
export function steadyEcho(trunk: Trunk, bytes: number, restMs = 100): SteadyEcho {
  let rounds = 0
  let stopped = false
  let wake: (() => void) | undefined
  const rest = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
      setTimeout(resolve, restMs)
    })
  const run = async (): Promise<void> => {
    const pipe = await trunk.open('echo')
    const answers = pipe.source[Symbol.asyncIterator]()
    while (!stopped) {
      const said = randomBytes(bytes)
      const writing = pipe.write(said)
      writing.catch(() => undefined) // awaited below
      for (let at = 0; at < bytes;) {
        const { value, done } = await answers.next()
        if (done === true) throw new Error(`the echo ended cleanly, ${bytes - at} bytes too early`)
        const heard = value.subarray()
        if (!said.subarray(at, at + heard.length).equals(heard)) throw new Error(`a wrong byte behind ${at}`)
        at += heard.length
      }
      await writing
      rounds++
      await rest()
    }
    await pipe.close()
  }
  return {
    rounds: () => rounds,
    ended: run().then(
      () => undefined,
      (error: unknown) => {
        const { code } = error as Partial<TrunkError>
        if (code === undefined) throw error
        return code
      },
    ),
    stop() {
      stopped = true
      wake?.()
    },
  }
}
