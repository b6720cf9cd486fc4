/** Programs in C that tests start (test/fixtures/*.c), compiled when they are first needed. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from './temporary-folder.ts'

const compiled = new Map<string, Promise<string>>()

/**
 * The path of the program, which is compiled once in a process; rejects where there is no compiler.
 */
export function compiledFixture(name: 'bomb' | 'pty' | 'swap' | 'watch'): Promise<string> {
  const known = compiled.get(name)
  if (known !== undefined) return known
  const program = compile(name)
  compiled.set(name, program)
  return program
}

async function compile(name: string): Promise<string> {
  const source = fileURLToPath(new URL(`../fixtures/${name}.c`, import.meta.url))
  const output = join(temporaryFolder(), name)
  await promisify(execFile)(process.env.CC ?? 'cc', ['-std=c11', '-Wall', '-Wextra', '-O2', '-o', output, source])
  return output
}
