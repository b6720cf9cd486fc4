/**
 * Many connections that keep no manners: they stop in the middle of the hello, say nothing, or
 * never read. Against `serve()` and `connect()` over TCP.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect, TrunkError } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { u64 } from '../helpers/frame-run.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { concat, encodeFrame, frame, SYNC, TYPE } from '../helpers/naive-codec.ts'
import { collect } from '../helpers/protocols.ts'
import { helloFields, HIGHEST_EPOCH, type RawPeer } from '../helpers/raw-peer.ts'
import { dialRaw, listenRaw } from '../helpers/raw-tcp.ts'
import { Victim } from '../helpers/victim.ts'
import { nothingLeftOf } from './arena.ts'

const MIB = 1024 * 1024
/**
 * What a link has from its start, to read into and to write from: it is not the peer's to make more
 * of it.
 */
const LINK_BUFFERS = 64 * 1024
const MAX_P99_MS = 100

/** A hello that a peer may begin with and never end. */
const helloBurst = (): Uint8Array => concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, cbor(helloFields()))))

describe('crowds without manners', { timeout: 120_000 }, () => {
  let victim: Victim
  before(async () => {
    victim = await Victim.start()
  })
  after(() => victim.stop())

  /** One answer after a whole hello: what a well-behaved client wants. */
  async function served(address: string): Promise<void> {
    const trunk = await connect(address)
    const pipe = await trunk.open('echo')
    await pipe.write(Buffer.from('me too'))
    await pipe.closeWrite()
    assert.equal((await collect(pipe.source)).toString(), 'me too')
    await trunk.close()
  }

  it('three hundred that stop in the middle of the hello are given up in time, and cost little [R-226]', async () => {
    const address = await victim.call('serve', { limits: { helloTimeoutMs: 2_000, keepaliveMs: 60_000 } })
    await served(address)
    await victim.call('end')
    const resources = await victim.call('resources')
    const heap = await victim.call('held')
    const again = await victim.call('serve', { limits: { helloTimeoutMs: 4_000 } })
    const trunk = await connect(again)
    const base = await victim.call('begin')
    const peers = await Promise.all(Array.from({ length: 300 }, () => dialRaw(again)))
    const bytes = helloBurst()
    await Promise.all(peers.map((peer, i) => peer.send(bytes.subarray(0, i % bytes.byteLength))))
    for (let i = 0; i < 20; i++) await trunk.ping()
    const growth = (await victim.call('held')) - base
    assert.ok(growth < 300 * (LINK_BUFFERS + 2 * 4096) + MIB, `${growth} bytes held`)
    await Promise.all(peers.map((peer) => peer.ended))
    const { rejected, p99, strays } = await victim.call('report')
    assert.equal(rejected.filter((code) => code === 'ERR_HELLO_TIMEOUT').length, 300, [...new Set(rejected)].join())
    assert.deepEqual(strays, [])
    assert.ok(p99 < MAX_P99_MS, `p99 ${p99} ms`)
    await served(again)
    await trunk.close()
    await victim.call('end')
    await nothingLeftOf(victim, resources, heap)
  })

  it('a hello that comes byte by byte has no more time than one that does not come [R-227]', async () => {
    const address = await victim.call('serve', { limits: { helloTimeoutMs: 1_000 } })
    await victim.call('begin')
    const peers = await Promise.all(Array.from({ length: 20 }, () => dialRaw(address)))
    const bytes = helloBurst()
    const all = { over: false }
    void Promise.all(peers.map((peer) => peer.ended)).then(() => (all.over = true))
    const trunk = await connect(address)
    for (let at = 0; !all.over; at++) {
      assert.ok(at < bytes.byteLength, 'the hello was through before its time was')
      await Promise.all(peers.map((peer) => peer.send(bytes.subarray(at, at + 1))))
      for (let i = 0; i < 100; i++) await trunk.ping()
    }
    for (const peer of peers) assert.equal(await peer.expectStatus('BYE'), 21)
    await trunk.close()
    await served(address)
    await victim.call('end')
  })

  it('fifty that open a pipe, grant everything and never read are given up, and little is held for them [R-228]', async () => {
    const resources = await victim.call('resources')
    const address = await victim.call('serve', { limits: { keepaliveMs: 1_500, keepaliveTimeoutMs: 1_500 } })
    const trunk = await connect(address)
    const base = await victim.call('begin')
    const peers = await Promise.all(Array.from({ length: 50 }, () => meet(address)))
    for (const peer of peers) {
      peer.stall()
      await peer.send(frame(TYPE.OPEN, 1, cbor({ protocol: 'pour' })), frame(TYPE.CREDIT, 1, u64(2 ** 40)))
    }
    for (let i = 0; i < 20; i++) await trunk.ping()
    const growth = (await victim.call('held')) - base
    assert.ok(growth < 2 * 50 * 256 * 1024 + MIB, `${growth} bytes held`)
    const codes = async (): Promise<readonly string[]> => (await victim.call('report')).ended
    let ended: readonly string[] = []
    while (ended.length < 50) ended = await codes()
    assert.deepEqual([...new Set(ended)], ['ERR_KEEPALIVE_TIMEOUT'])
    assert.ok((await victim.call('report')).p99 < MAX_P99_MS)
    await served(address)
    for (const peer of peers) peer.cut()
    trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the test is over'))
    await victim.call('end')
    await nothingLeftOf(victim, resources, base)
  })

  it('a server that stops in the middle of its hello, or says nothing, is given up by each of a hundred clients [R-229]', async () => {
    const raw = await listenRaw()
    const once = victim.call('connect', raw.address, { limits: { helloTimeoutMs: 300 } })
    assert.equal(await once, 'ERR_HELLO_TIMEOUT')
    ;(await raw.next()).cut()
    const resources = await victim.call('resources')
    const heap = await victim.call('begin')
    const bytes = helloBurst()
    const connecting = Array.from({ length: 100 }, () =>
      victim.call('connect', raw.address, { limits: { helloTimeoutMs: 1_500 } }),
    )
    const peers: RawPeer[] = []
    for (let i = 0; i < 100; i++) {
      const peer = await raw.next()
      peers.push(peer)
      await peer.send(bytes.subarray(0, (i * 3) % bytes.byteLength))
    }
    assert.deepEqual([...new Set(await Promise.all(connecting))], ['ERR_HELLO_TIMEOUT'])
    await Promise.all(peers.map((peer) => peer.ended))
    raw.close()
    await nothingLeftOf(victim, resources, heap)
  })

  async function meet(address: string): Promise<RawPeer> {
    const peer = await dialRaw(address)
    peer.answersPings = false
    await peer.hello({ epoch: HIGHEST_EPOCH })
    await eventually(() => peer.count('READY') === 1, 'the session is established')
    return peer
  }
})
