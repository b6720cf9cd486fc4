/** A command's world without a process: its output is held, nothing is read, nobody interrupts. */
import { Writable } from 'node:stream'
import pc from 'picocolors'
import type { Context } from '../../src/cli/context.ts'
import { systemClock } from '../../src/clock.ts'

/**
 * The context, and what was written to it.
 * @param terminal columns of the terminal that stderr pretends to be; 0 for none
 */
export function capturedContext(
  env: Record<string, string> = {},
  terminal = 0,
): {
  context: Context
  stdout(): string
  stderr(): string
} {
  let stdout = ''
  let stderr = ''
  const write = async (data: string | Iterable<Uint8Array> | Uint8Array): Promise<void> => {
    if (typeof data === 'string') stdout += data
    else for (const chunk of data instanceof Uint8Array ? [data] : data) stdout += Buffer.from(chunk).toString()
  }
  const errors = new Writable({
    write(chunk: Buffer, _encoding, done) {
      stderr += chunk.toString()
      done()
    },
  })
  const context: Context = {
    env,
    get stdin() {
      return process.stdin
    },
    stdout: { isTerminal: false, columns: 80, write, line: (text) => write(`${text}\n`) },
    stderr: terminal === 0 ? errors : Object.assign(errors, { isTTY: true, columns: terminal }),
    colors: pc.createColors(false),
    clock: systemClock,
    signal: new AbortController().signal,
    temporaries: new Set(),
  }
  return { context, stdout: () => stdout, stderr: () => stderr }
}
