/** The real `trunkline` command as child processes: the built one in dist/, as a user runs it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import { endWithTests } from './left-children.ts'

/** The built command. */
export const BINARY: string = fileURLToPath(new URL('../../dist/bin/trunkline.cjs', import.meta.url))

/** How a command ended. */
export interface Outcome {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: Buffer
  /** `output` as text. */
  readonly stdout: string
  readonly stderr: string
}

/** How a command is started. */
export interface RunOptions {
  /** $TRUNKLINE_TO. */
  to?: string
  /** What it reads from stdin, which then ends. @default nothing */
  input?: string | Uint8Array
  env?: Record<string, string>
  /** Another `trunkline` than the built one: it gets nothing of this process's environment. */
  executable?: string
  /** @default this process's */
  cwd?: string
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcessWithoutNullStreams
  stdout(): string
  stderr(): string
  readonly ended: Promise<Outcome>
  /**
   * Resolves with stdout's lines when there are at least `count` whole ones; rejects where it ends
   * before.
   */
  lines(count: number): Promise<string[]>
}

/** Starts a command; it is killed with the tests of a file at the latest. */
export function start(args: readonly string[], options: RunOptions = {}): Running {
  const { executable, cwd } = options
  if (!existsSync(BINARY)) throw new Error('these tests need the built command: run `npm run build` first')
  const { TRUNKLINE_TO: _to, TRUNKLINE_TOKEN_FILE: _token, ...ours } = process.env
  const to = options.to === undefined ? {} : { TRUNKLINE_TO: options.to }
  const env = { ...(executable === undefined ? ours : {}), ...to, ...options.env }
  const words = executable === undefined ? [BINARY, ...args] : args
  const child = spawn(executable ?? process.execPath, words, { env, ...(cwd !== undefined && { cwd }) })
  endWithTests(child)
  const output: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  // A command that does not read its stdin closes it: that is its good right.
  child.stdin.on('error', () => undefined)
  if (options.input !== undefined) child.stdin.end(options.input)
  const stdout = (): string => Buffer.concat(output).toString()
  const ended = once(child, 'close').then(([status, signal]): Outcome => {
    return {
      status: status as number | null,
      signal: signal as NodeJS.Signals | null,
      output: Buffer.concat(output),
      stdout: stdout(),
      stderr,
    }
  })
  return {
    child,
    stdout,
    stderr: () => stderr,
    ended,
    async lines(count) {
      const there = (): boolean => stdout().split('\n').length > count
      await eventually(() => there() || child.exitCode !== null, `${count} lines of ${args.join(' ')}`, 10_000)
      if (!there()) throw new Error(`${args.join(' ')} ended: ${stderr}`)
      return stdout().split('\n').slice(0, -1)
    },
  }
}

/** Runs a command to its end. */
export async function trunkline(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return await start(args, { input: '', ...options }).ended
}

/** Runs a command that is to succeed, and to say nothing on stderr. */
export async function succeeding(to: string, args: string[], input: string | Uint8Array = ''): Promise<Outcome> {
  const outcome = await trunkline(args, { to, input })
  assert.equal(outcome.stderr, '')
  assert.equal(outcome.status, 0)
  return outcome
}

/** Runs a command that is to fail with one line on stderr. */
export async function failing(to: string, status: number, line: RegExp, args: string[]): Promise<Outcome> {
  const outcome = await trunkline(args, { to })
  assert.match(outcome.stderr, line)
  assert.equal(outcome.stderr.split('\n').length, 2)
  assert.equal(outcome.status, status)
  return outcome
}

/** A `serve` that a test stops. */
export interface Serving {
  readonly address: string
  readonly running: Running
  /** Its lines on stderr so far. */
  said(): string[]
  stop(): Promise<Outcome>
}

/** Starts `serve` on a free port of loopback. */
export async function serving(
  args: readonly string[],
  address = 'tcp://127.0.0.1:0',
  options: RunOptions = {},
): Promise<Serving> {
  const running = start(['serve', address, ...args], options)
  const [first = ''] = await running.lines(1)
  return {
    address: first,
    running,
    said: () => running.stderr().split('\n').slice(0, -1),
    async stop() {
      running.child.kill('SIGTERM')
      return await running.ended
    },
  }
}
