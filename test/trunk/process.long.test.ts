/** A process whose event loop stands still. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { childProgram as child, firstLine as address } from '../helpers/child-program.ts'
import { eventually } from '../helpers/eventually.ts'
import { concat, frame, TYPE } from '../helpers/naive-codec.ts'
import { HIGHEST_EPOCH } from '../helpers/raw-peer.ts'
import { dialRaw } from '../helpers/raw-tcp.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

describe('a process', () => {
  it('whose event loop stood still for 5 s takes nobody for dead, and does not make up for it in a burst [R-133]', async (test) => {
    const host = child(`
      const limits = { keepaliveMs: 400, keepaliveTimeoutMs: 400, writeStallMs: 1_000 }
      const block = defineProtocol({ name: 'block', parse: () => 0, handle: async ({ accept }) => {
        const pipe = accept()
        // between the ping that nobody answers yet and the end of its time
        await new Promise((resolve) => setTimeout(resolve, 600))
        // and in the phase of the loop after which timers come before what has arrived
        await new Promise((resolve) => setImmediate(resolve))
        console.log('stands still')
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_000)
        await pipe.sink(pipe.source)
      } })
      const server = await serve('tcp://127.0.0.1:0', { limits, protocols: [block] })
      console.log(server.address)
      for await (const trunk of server) trunk.closed.then(() => console.log('clean'), (error) => console.log(error.code))`)
    test.after(() => {
      host.kill('SIGKILL')
    })
    const peer = await dialRaw(await address(host))
    await peer.hello({ epoch: HIGHEST_EPOCH })
    await peer.sync()
    peer.answersPings = false
    const asked = peer.count('PING')
    await peer.open(1, 'block')
    await peer.expect('ACCEPT', 1)
    await eventually(() => host.lines.includes('stands still'), 'the loop stands still')
    assert.equal(peer.count('PING') - asked, 1)
    peer.answersPings = true
    const ping = peer.received.findLast(({ type }) => type === TYPE.PING)
    await peer.send(frame(TYPE.PONG, 0, concat(ping?.payload ?? new Uint8Array(16), new Uint8Array(8))))
    await peer.data(1, 'still there')
    assert.equal(Buffer.from((await peer.expect('DATA', 1)).payload).toString(), 'still there')
    await peer.sync()
    assert.ok(peer.count('PING') - asked <= 3, `${peer.count('PING') - asked} pings`)
    assert.deepEqual([host.lines.slice(1), host.errors()], [['stands still'], ''])
    peer.cut()
    host.kill('SIGKILL')
    await host.exited
  })
})
