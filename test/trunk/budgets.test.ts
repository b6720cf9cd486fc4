/** What the trunks of a server share, over real links. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, createBudgets, defineProtocol, serve, type Trunk } from '../../src/index.ts'
import { peerGroup } from '../../src/session/strangers.ts'
import { eventually } from '../helpers/eventually.ts'
import { outcome } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const ANY = 'tcp://127.0.0.1:0'
const MIB = 2 ** 20

/** Reads what has come and then looks at what is there no more. */
const slow = defineProtocol({
  name: 'slow',
  parse: () => undefined,
  async handle({ accept, signal }) {
    const pipe = accept()
    let left = 3 * MIB
    for await (const data of pipe.borrowed) if ((left -= data.byteLength) <= 0) break
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  },
})

describe('[R-518] the status of a server', () => {
  it('says what its trunks have of what they share, and by which peer', async () => {
    const budgets = createBudgets({ windowBytes: 10 * MIB, descriptors: 200 })
    await using server = await serve(ANY, { budgets, protocols: [slow] })
    assert.deepEqual(server.status().budgets.descriptors, { max: 200, used: 0, waiting: 0, refused: 0, peers: [] })
    const trunks = await Promise.all([1, 2, 3].map(() => connect(server.address)))
    await eventually(() => server.status().sessions === 3, 'three sessions')
    assert.equal(server.status().address, server.address)
    assert.equal(server.status().handshakes, 0)
    const writing = trunks.map((trunk) => outcome(fill(trunk)))
    await eventually(() => server.status().budgets.windowBytes.used > MIB, 'windows that have grown')
    const { windowBytes } = server.status().budgets
    assert.deepEqual(
      windowBytes.peers.map(({ peer }) => peer),
      ['127.0.0.1'],
    )
    assert.equal(windowBytes.peers[0]?.used, windowBytes.used)
    // the peers have one address: two thirds are all that it may have
    assert.ok(windowBytes.used <= 7 * MIB, String(windowBytes.used))
    for (const trunk of trunks) trunk.abort(new Error('enough'))
    await Promise.all(writing)
    await eventually(() => server.status().sessions === 0, 'the end of all')
    assert.equal(server.status().budgets.windowBytes.used, 0)
  })

  it('shows one set of budgets for all calls that name none, and another for those that share one', async () => {
    const budgets = createBudgets({ poolJobs: 7 })
    await using one = await serve(ANY, { budgets })
    await using other = await serve(ANY, { budgets })
    await using third = await serve(ANY)
    assert.equal(one.status().budgets.poolJobs.max, 7)
    assert.equal(other.status().budgets.poolJobs.max, 7)
    assert.equal(third.status().budgets.poolJobs.max, Number(process.env.UV_THREADPOOL_SIZE ?? 4))
  })

  it('refuses budgets that make no sense, by name', async () => {
    for (const sizes of [{ poolJobs: 0 }, { descriptors: 1.5 }, { jobs: 3 }]) {
      assert.equal(await outcome(Promise.resolve().then(() => createBudgets(sizes))), 'ERR_BAD_ARGUMENT')
    }
    for (const budgets of [{}, null, 7]) {
      assert.equal(await outcome(serve(ANY, { budgets: budgets as never })), 'ERR_BAD_ARGUMENT')
    }
  })
})

describe('the peers that share', () => {
  it('are told apart by address where the line has one, and each for itself where it has none', () => {
    const groups: readonly [string, string][] = [
      ['127.0.0.1:4000', '127.0.0.1'],
      ['[2001:db8:1:2::7]:1', '2001:db8:1:2'],
      ['3:1024', '3'],
      ['/run/a.sock', ''],
      ['/run/a:7', ''],
      ['@abstract:7', ''],
      ['ssh host (pid 17)', ''],
      ['stdio:', ''],
      ['', ''],
    ]
    for (const [peer, group] of groups) assert.equal(peerGroup(peer), group, peer)
  })
})

/** Writes as long as the peer lets it. */
async function fill(trunk: Trunk): Promise<void> {
  const pipe = await trunk.open('slow')
  const chunk = new Uint8Array(64 * 1024)
  for (;;) await pipe.write(chunk)
}
