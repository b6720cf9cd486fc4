/**
 * The command line as one executable file, made for the tests: by the same script that makes a
 * user's.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from './run-command.ts'
import { ROOT } from './root.ts'

const BUILD_MS = 300_000

/** Where it is. */
export interface Executable {
  readonly path: string
  /** What the script said. */
  readonly said: string
  remove(): void
}

/** Makes it in a folder of its own. */
export async function buildExecutable(...options: string[]): Promise<Executable> {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-built-'))
  const path = join(folder, 'trunkline')
  const args = [join(ROOT, 'src/cli/executable/build.mjs'), '--output', path, ...options]
  const { status, output } = await runCommand({ cwd: ROOT, timeoutMs: BUILD_MS }, process.execPath, args)
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  if (status === 0) return { path, said: output, remove }
  remove()
  throw new Error(output)
}
