/** A command's world without a process: its output is held, nothing is read, nobody interrupts. */
import type { Context } from '../../src/cli/context.ts'
import { colorsOf } from '../../src/cli/colors.ts'
import { Owner } from '../../src/cli/owner.ts'
import { systemClock } from '../../src/runtime/clock.ts'

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
  const errors = {
    write: (text: string): void => void (stderr += text),
    bytes: async (data: Iterable<Uint8Array> | Uint8Array): Promise<void> => {
      for (const chunk of data instanceof Uint8Array ? [data] : data) stderr += Buffer.from(chunk).toString()
    },
    flushed: () => Promise.resolve(),
  }
  const context: Context = {
    env,
    stdin: 0,
    stdout: { isTerminal: false, write, line: (text) => write(`${text}\n`) },
    stderr: terminal === 0 ? errors : { ...errors, isTTY: true, columns: terminal },
    colors: colorsOf(false),
    clock: systemClock,
    signal: new AbortController().signal,
    temporaries: new Set(),
    owner: new Owner(),
  }
  return { context, stdout: () => stdout, stderr: () => stderr }
}
