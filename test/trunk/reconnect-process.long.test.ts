/**
 * A reconnecting trunk between real processes: one that is killed and started again, one that has
 * nothing but the waits to live for.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, serve } from '../../src/index.ts'
import { childProgram, firstLine, type ChildProgram } from '../helpers/child-program.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/loopback.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { collect, outcome, pattern } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

/** A guest that says its process id, and one pipe that never ends. */
const guest = (address: string): string => `
  const stall = defineProtocol({ name: 'stall', parse: () => 0, handle: async ({ accept, signal }) => {
    accept(); await new Promise((resolve) => signal.addEventListener('abort', resolve))
  } })
  const pid = defineProtocol({ name: 'pid', parse: () => 0, handle: async ({ accept }) => {
    await accept().write(Buffer.from(String(process.pid)))
  } })
  const server = await serve(${JSON.stringify(address)}, { protocols: [stall, pid] })
  console.log(server.address)`

describe('a reconnecting trunk', () => {
  it('outlives a guest that is killed and started again: its pipes fail with a code, and the next session works', async (t) => {
    t.after(() => {
      running?.kill('SIGKILL')
    })
    let running: ChildProgram | undefined
    await expectNoLeaks(async () => {
      running = childProgram(guest('tcp://127.0.0.1:0'))
      const address = await firstLine(running)
      const trunk = await connect(address, { reconnect: true, limits: { reconnectMaxMs: 500 } })
      const pids = new Set<string>()
      for (let life = 1; life <= 3; life++) {
        const pid = await trunk.open('pid')
        pids.add((await collect(pid.source)).toString())
        assert.deepEqual([pids.size, trunk.connection.sessions], [life, life])
        const stalled = await trunk.open('stall')
        const pending = [stalled.write(pattern(1_000_000)), collect(stalled.source), stalled.close()].map(outcome)
        running.kill('SIGKILL')
        assert.equal(await running.exited, 'SIGKILL')
        for (const code of await Promise.all(pending)) assert.match(code, /^ERR_LINK_(LOST|RESET)$/)
        await eventually(() => trunk.connection.error?.code === 'ERR_CONNECT_REFUSED', 'nobody is there')
        running = childProgram(guest(address))
      }
      const last = await trunk.open('pid')
      assert.equal(Number((await collect(last.source)).toString()) > 0, true)
      await trunk.close()
      running.kill('SIGKILL')
      await running.exited
    })
  })

  it('keeps its process alive while it waits, before the first session and between two, and not after close [R-127]', async (t) => {
    const address = `tcp://127.0.0.1:${await freePort()}`
    const host = childProgram(`
      const trunk = await connect(${JSON.stringify(address)}, {
        reconnect: true,
        onConnection: ({ state, sessions }) => console.log(state, sessions),
      })
      for await (const { state, sessions } of trunk.watch()) if (state === 'waiting' && sessions === 2) break
      await trunk.close()`)
    t.after(() => {
      host.kill('SIGKILL')
    })
    await eventually(() => host.lines.filter((line) => line === 'waiting 0').length > 1, 'two waits', 8_000)
    for (let session = 1; session <= 2; session++) {
      const server = await serve(address)
      await eventually(() => host.lines.includes(`open ${session}`), 'a session', 8_000)
      await server.close()
    }
    assert.equal(await host.exited, 0, host.errors())
    assert.deepEqual([host.lines.at(-1), host.errors()], ['closed 2', ''])
  })
})
