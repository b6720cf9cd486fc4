/**
 * Kills one side of the program in the middle of its transfers, starts it anew, and waits until
 * bytes move again: round after round, each side in turn, at moments that follow from a seed. What
 * the survivor has to do: fail every pipe of the old session, each with a code, soon after the new
 * hello.
 */
import assert from 'node:assert/strict'
import { Random } from '../../sim/random.ts'
import { Side, type Place } from './side.ts'

/** The two ends of a line. */
export interface Line {
  readonly server: Place
  readonly driver: Place
  /** Size of the file that is copied. */
  readonly bytes: number
  /** Bytes that are streamed, over a pipe and without one. */
  readonly streamed: number
}

export interface Survival {
  readonly rounds: number
  /**
   * Milliseconds from each new side's first call to the survivor's last broken pipe; 0 where that
   * was sooner.
   */
  readonly lagsMs: readonly number[]
  /** What the survivors' pipes failed with. */
  readonly codes: ReadonlySet<string>
}

/** A pipe of an old session fails within this time of the new hello. */
export const MAX_LAG_MS = 1_000
/** Pipes that the driving side has open when it is interrupted. */
const DRIVEN_PIPES = 3
/** Longest time that transfers go on before the kill. */
const MAX_DELAY_MS = 300
/**
 * Longest time for a new session to be up and its transfers under way, a node to start included.
 */
const RECOVERY_MS = 60_000

/**
 * Runs the rounds; rejects at the first thing that is not as it has to be, with what both sides
 * said.
 */
export async function surviveKills(line: Line, rounds: number, seed: number): Promise<Survival> {
  const random = new Random(seed)
  const lagsMs: number[] = []
  const codes = new Set<string>()
  const start = {
    server: () => new Side(line.server, 'serve', line.bytes),
    driver: () => new Side(line.driver, 'hold'),
  }
  const sides = { server: start.server(), driver: start.driver() }
  try {
    await sides.driver.next('moving', RECOVERY_MS)
    for (let round = 0; round < rounds; round++) {
      const victim = round % 2 === 0 ? 'server' : 'driver'
      const survivor = sides[victim === 'server' ? 'driver' : 'server']
      await new Promise((resolve) => setTimeout(resolve, random.integer(0, MAX_DELAY_MS)))
      await sides[victim].kill()
      sides[victim] = start[victim]()
      // right after this the hello is on its way: a serving side says so once its transport is
      // loaded
      const called = await sides[victim].next(victim === 'server' ? 'serving' : 'calling', RECOVERY_MS)
      const failed = await survivor.next('failed', RECOVERY_MS)
      lagsMs.push(Math.max(0, failed.at - called.at))
      for (const code of brokenPipes(failed.codes, victim === 'server' ? DRIVEN_PIPES : 1)) codes.add(code)
      await sides.driver.next('moving', RECOVERY_MS)
    }
    assert.ok(
      lagsMs.every((lag) => lag <= MAX_LAG_MS),
      `pipes of an old session failed up to ${Math.max(...lagsMs)} ms after the new hello`,
    )
  } catch (error) {
    const message = `with seed ${seed}, after ${lagsMs.length} restarts:\n${sides.server.story}\n${sides.driver.story}`
    throw new Error(message, { cause: error })
  } finally {
    await Promise.all([sides.server.kill(), sides.driver.kill()])
  }
  return { rounds, lagsMs, codes }
}

/** Checks that so many pipes failed, each with a code; gives the codes. */
function brokenPipes(given: unknown, count: number): string[] {
  const codes = given as string[]
  assert.equal(codes.length, count, `these pipes failed: ${codes.join(', ')}`)
  for (const code of codes) assert.match(code, /^ERR_[A-Z_]+$/)
  return codes
}
