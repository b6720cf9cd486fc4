/**
 * docs/examples/switching: the same two programs over one kind of line after the other; nothing but
 * the addresses differs. Uses the built package, as a user's program would.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { codeBlocks } from '../helpers/markdown.ts'
import { ptyPair } from '../helpers/pty.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const PROGRAMS = join(ROOT, 'docs/examples/switching')
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

/** A port of loopback that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Runs the host's program against `to`, and looks at what it has done. */
async function runHost(to: string, folder: string, served: string, port: number): Promise<void> {
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

async function switchTo(served: string, to: string): Promise<void> {
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

describe('docs/examples/switching', () => {
  it('needs the built package', () => {
    assert.ok(existsSync(join(ROOT, 'dist/src/index.js')), 'run `npm run build` first')
  })

  it('runs over tcp', () => switchTo('tcp://127.0.0.1:0', ''))

  it('runs over unix', () => switchTo(`unix://${temporaryFolder()}/x.sock`, ''))

  it('runs over exec and stdio', async () => {
    const folder = temporaryFolder()
    const root = join(folder, 'served')
    mkdirSync(root)
    const port = await freePort()
    const guest = [process.execPath, ...typeScript(join(PROGRAMS, 'guest.ts')), 'stdio:', root, String(port)]
    await runHost(`exec:${guest.join(' ')}`, folder, root, port)
  })

  it('runs over a serial line', async () => {
    const line = await ptyPair()
    try {
      await switchTo(`serial://${line.far}`, `serial://${line.near}`)
    } finally {
      await line.close()
    }
  })

  it('is in the guide word for word', () => {
    const blocks = codeBlocks('docs/guide/start.md').map(({ text }) => text)
    for (const name of ['guest.ts', 'host.ts']) {
      const program = readFileSync(join(PROGRAMS, name), 'utf8').replace(/^\/\*\*[\s\S]*?\*\/\n/, '')
      assert.ok(blocks.includes(program), `${name} is not in docs/guide/start.md word for word`)
    }
  })
})
