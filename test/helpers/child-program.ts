/**
 * A few lines of TypeScript as a process of their own: what a test kills, or watches to its end.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import { typeScript } from './typescript.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A program that runs. */
export interface ChildProgram {
  /** The whole lines that it has printed so far. */
  readonly lines: string[]
  /** Its exit status, or the signal that ended it. */
  readonly exited: Promise<number | string>
  kill(signal: NodeJS.Signals): void
  /** What it has said on stderr. */
  errors(): string
}

/**
 * Starts `code`, which has `connect`, `serve` and `defineProtocol` in scope, with `env` besides our
 * own environment.
 */
export function childProgram(code: string, env: NodeJS.ProcessEnv = {}): ChildProgram {
  const source = `import { connect, serve, defineProtocol } from './src/index.ts'\n${code}`
  const running = spawn(process.execPath, typeScript('--input-type=module', '-e', source), {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let errors = ''
  const lines: string[] = []
  running.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    lines.splice(0, lines.length, ...out.split('\n').slice(0, -1))
  })
  running.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  return {
    lines,
    exited: new Promise((resolve) => running.on('exit', (status, signal) => resolve(status ?? signal ?? ''))),
    kill: (signal) => void running.kill(signal),
    errors: () => errors,
  }
}

/** The first line that it prints. */
export async function firstLine(of: ChildProgram): Promise<string> {
  await eventually(() => of.lines.length > 0, 'a line is printed', 8_000)
  return of.lines[0] ?? ''
}
