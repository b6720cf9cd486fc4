import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect } from '../../src/index.ts'
import { childProgram as child, firstLine as address } from '../helpers/child-program.ts'
import { eventually } from '../helpers/eventually.ts'
import { collect, outcome, pattern } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const SERVE = `
const stall = defineProtocol({ name: 'stall', parse: () => 0, handle: async ({ accept, signal }) => {
  accept(); await new Promise((resolve) => signal.addEventListener('abort', resolve))
} })
const server = await serve('tcp://127.0.0.1:0', { protocols: [stall] })
console.log(server.address)
`

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
