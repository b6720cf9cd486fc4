/** The two programs of docs/examples/switching, run against each other. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/loopback.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

export const PROGRAMS: string = join(ROOT, 'docs/examples/switching')
/** How long a program may take on a busy machine. */
const PROGRAM_MS = 60_000

interface Program {
  readonly said: () => string
  readonly ended: Promise<number | null>
  stop(): void
}

function start(name: string, args: readonly string[], env: Record<string, string> = {}): Program {
  const child = spawn(process.execPath, typeScript(join(PROGRAMS, name), ...args), {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PROGRAM_MS,
    killSignal: 'SIGKILL',
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(child, 'close').then(([status]) => {
    process.removeListener('exit', kill)
    return status as number | null
  })
  return { said: () => said, ended, stop: kill }
}

/** Runs the host's program against `to`, and looks at what it has done. */
export async function runHost(to: string, folder: string, served: string, port: number): Promise<void> {
  const file = join(folder, 'data.bin')
  const bytes = randomBytes(40_000)
  writeFileSync(file, bytes)
  const host = start('host.ts', [file, String(port)], { TRUNKLINE_TO: to })
  assert.equal(await host.ended, 0, host.said())
  assert.match(host.said(), /^[a-z+]+: round trip \d+\.\d\d ms$/m)
  assert.match(host.said(), /^hello from the guest$/m)
  assert.ok(readFileSync(join(served, 'data.bin')).equals(bytes), 'what arrived differs')
  assert.ok(readFileSync(`${file}.back`).equals(bytes), 'what came back differs')
}

/** Serves `served` by the guest's program, and runs the host's towards `to`, or what it serves. */
export async function switchTo(served: string, to: string): Promise<void> {
  const folder = temporaryFolder()
  const root = join(folder, 'served')
  mkdirSync(root)
  const port = await freePort()
  const guest = start('guest.ts', [served, root, String(port)])
  try {
    await eventually(() => guest.said().includes('\n'), 'the guest is ready', PROGRAM_MS)
    await runHost(to === '' ? guest.said().trim() : to, folder, root, port)
  } finally {
    guest.stop()
    await guest.ended
  }
}
