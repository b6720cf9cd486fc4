import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { collect, outcome, pattern } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A child that runs `code` with trunkline's main exports in scope; `lines` are what it printed. */
function child(code: string): {
  readonly lines: string[]
  readonly pid: number
  readonly exited: Promise<number | string>
  kill(signal: NodeJS.Signals): void
  errors(): string
} {
  const source = `import { connect, serve, defineProtocol } from './src/index.ts'\n${code}`
  const running = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', source], {
    cwd: ROOT,
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
    pid: running.pid ?? 0,
    exited: new Promise((resolve) => running.on('exit', (status, signal) => resolve(status ?? signal ?? ''))),
    kill: (signal) => void running.kill(signal),
    errors: () => errors,
  }
}

const SERVE = `
const stall = defineProtocol({ name: 'stall', parse: () => 0, handle: async ({ accept, signal }) => {
  accept(); await new Promise((resolve) => signal.addEventListener('abort', resolve))
} })
const server = await serve('tcp://127.0.0.1:0', { protocols: [stall] })
console.log(server.address)
`

async function address(of: { lines: string[] }): Promise<string> {
  await eventually(() => of.lines.length > 0, 'the address is printed', 8_000)
  return of.lines[0]!
}

describe('a process', () => {
  it('lives while a trunk is open, and ends by itself once it is closed [R-127]', async () => {
    const host = child(`${SERVE}
      for await (const trunk of server) { await trunk.closed.catch(() => {}); console.log('closed'); await server.close(); break }`)
    const guest = child(`const trunk = await connect(${JSON.stringify(await address(host))})
      console.log('open'); const pipe = await trunk.open('stall'); console.log('waits')
      const read = pipe.source.next(); read.catch(() => {}); setTimeout(() => trunk.abort(new Error('x')), 300)`)
    await eventually(() => guest.lines.includes('waits'), 'the guest waits', 8_000)
    assert.equal(await guest.exited, 0, guest.errors())
    assert.equal(await host.exited, 0, host.errors())
    assert.deepEqual(guest.errors() + host.errors(), '')
  })

  it('that is killed is noticed at once where the line tells, and everything that waited has a code [R-130]', async () => {
    const host = child(SERVE)
    const trunk = await connect(await address(host))
    const pipe = await trunk.open('stall')
    const pending = [pipe.write(pattern(1_000_000)), collect(pipe.source), pipe.close(), trunk.closed].map(outcome)
    host.kill('SIGKILL')
    assert.equal(await host.exited, 'SIGKILL')
    for (const code of await Promise.all(pending)) assert.match(code, /^ERR_LINK_(LOST|RESET)$/)
  })

  it('that writes to a dead line gets a code and does not crash [R-132]', async () => {
    const host = child(SERVE)
    const guest = child(`const trunk = await connect(${JSON.stringify(await address(host))})
      const pipe = await trunk.open('stall'); console.log('open')
      try { for (;;) { await pipe.write(new Uint8Array(1000)); await new Promise((resolve) => setTimeout(resolve, 1)) } }
      catch (error) { console.log(error.code) }
      try { await trunk.ping() } catch (error) { console.log(error.code) }
      await trunk.close(); console.log('settled')`)
    await eventually(() => guest.lines.includes('open'), 'the guest writes', 8_000)
    host.kill('SIGKILL')
    await host.exited
    assert.equal(await guest.exited, 0, guest.errors())
    assert.deepEqual([guest.lines.at(-1), guest.errors()], ['settled', ''])
    for (const code of guest.lines.slice(1, -1)) assert.match(code, /^ERR_LINK_(LOST|RESET)$/)
  })
})
