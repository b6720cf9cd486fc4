/**
 * What many trunks of one server may hold together of its memory and its descriptors, and what the
 * next one still gets.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesystem, filesystemClient, type FilesystemClient } from '../../../protocols/filesystem.ts'
import { tcpConnect, tcpConnection } from '../../../protocols/tcp-connection.ts'
import { tcpListen, tcpListener } from '../../../protocols/tcp-listener.ts'
import { createBudgets, type Budgets, type Protocol, type Trunk } from '../../../src/index.ts'
import { eventually, keptAlive, steady } from '../../helpers/eventually.ts'
import { loopbackServer } from '../../helpers/loopback.ts'
import { collect, outcome, pattern } from '../../helpers/protocols.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const MIB = 2 ** 20

/** Trunks of peers to one server; each line is of memory and has no address. */
async function peersOf(t: TestContext, count: number, budgets: Budgets, protocols: Protocol[]): Promise<Trunk[]> {
  const pairs = await Promise.all(Array.from({ length: count }, () => trunkPair({}, { protocols, budgets })))
  t.after(() => {
    for (const trunk of pairs.flat()) trunk.abort(new Error('enough'))
  })
  return pairs.map(([near]) => near)
}

function served(): { protocol: Protocol; large: Buffer } {
  const root = temporaryFolder()
  const fd = openSync(join(root, 'sparse'), 'w')
  ftruncateSync(fd, 2 ** 40)
  closeSync(fd)
  const large = pattern(3 * MIB)
  writeFileSync(join(root, 'large'), large)
  return { protocol: filesystem({ root, maxHandles: 10_000 }), large }
}

/** A read that is begun and never taken. */
function stalled(files: FilesystemClient): Promise<string> {
  return outcome(files.read('sparse').next())
}

describe('[R-512] reads that nobody takes', { timeout: 60_000 }, () => {
  it('hold no more than there is, from any number of trunks, and the next one reads on', (t) =>
    keptAlive(async () => {
      const { protocol, large } = served()
      const budgets = createBudgets({ transferBytes: 8 * MIB, readAheadBytes: 12 * MIB })
      const trunks = await peersOf(t, 13, budgets, [protocol])
      const last = trunks.pop() as Trunk
      const reads = trunks.flatMap((trunk) => Array.from({ length: 64 }, () => hold(trunk)))
      const used = () => budgets.status().transferBytes.used + budgets.status().readAheadBytes.used
      await eventually(() => used() > 8 * MIB, 'stalled reads')
      await steady(used)
      assert.ok(used() <= 20 * MIB, String(used()))
      const files = filesystemClient(last)
      assert.ok((await collect(files.read('large'))).equals(large))
      assert.deepEqual(await collect(files.read('large', { length: 7 })), large.subarray(0, 7))
      for (const trunk of trunks) trunk.abort(new Error('enough'))
      await Promise.all(reads)
      await eventually(() => used() === 0, 'what dead trunks held is back')
    }))

  it('go on faster again when others have let go of what they held', (t) =>
    keptAlive(async () => {
      const { protocol, large } = served()
      const budgets = createBudgets({ readAheadBytes: 2 * MIB })
      const [greedy, modest] = (await peersOf(t, 2, budgets, [protocol])) as [Trunk, Trunk]
      const one = stalled(filesystemClient(greedy))
      await eventually(() => budgets.status().readAheadBytes.used > MIB / 2, 'a greedy read')
      // what is left is not enough for another one
      const other = stalled(filesystemClient(greedy))
      assert.ok((await collect(filesystemClient(modest).read('large'))).equals(large))
      assert.ok(budgets.status().readAheadBytes.used <= 2 * MIB)
      greedy.abort(new Error('enough'))
      await Promise.all([one, other])
    }))
})

describe('[R-514] descriptors', { timeout: 60_000 }, () => {
  it('are not used up by reads that stall: others open files, and all are back when the trunk is gone', (t) =>
    keptAlive(async () => {
      const { protocol, large } = served()
      const budgets = createBudgets({ descriptors: 128, transferBytes: 64 * MIB })
      const [greedy, other] = (await peersOf(t, 2, budgets, [protocol])) as [Trunk, Trunk]
      const codes = await Promise.all(Array.from({ length: 200 }, () => hold(greedy)))
      assert.equal(codes.filter((code) => code === 'ERR_HANDLE_LIMIT').length, 200 - 75)
      assert.equal(codes.filter((code) => code === 'resolved').length, 75)
      assert.equal(budgets.status().descriptors.refused, 200 - 75)
      assert.ok((await collect(filesystemClient(other).read('large'))).equals(large))
      greedy.abort(new Error('enough'))
      await eventually(() => budgets.status().descriptors.used === 0, 'all are back')
    }))

  it('[R-517] are taken by connections, too: beyond a peer’s part they are refused, and others connect', (t) =>
    keptAlive(async () => {
      const server = await loopbackServer((socket) => void socket.on('error', () => undefined))
      t.after(() => {
        server.close()
      })
      const budgets = createBudgets({ descriptors: 128 })
      const protocol = tcpConnection({ allow: ['127.0.0.1:*'], maxConnections: 1000 })
      const [greedy, other] = (await peersOf(t, 2, budgets, [protocol])) as [Trunk, Trunk]
      const to = { host: '127.0.0.1', port: server.port }
      const codes = await Promise.all(Array.from({ length: 100 }, () => outcome(tcpConnect(greedy, to))))
      assert.equal(codes.filter((code) => code === 'ERR_CONNECTION_LIMIT').length, 25)
      assert.equal(await outcome(tcpConnect(other, to)), 'resolved')
      greedy.abort(new Error('enough'))
      await eventually(() => budgets.status().descriptors.used === 1, 'those of the dead trunk are back')
    }))

  it('[R-517] are waited for by an accept, until another trunk gives one back', (t) =>
    keptAlive(async () => {
      const { protocol } = served()
      const budgets = createBudgets({ descriptors: 128 })
      const listener = tcpListener({ allow: ['127.0.0.1:*'] })
      const [greedy, next, last] = (await peersOf(t, 3, budgets, [protocol, listener])) as [Trunk, Trunk, Trunk]
      const listening = await tcpListen(last, { host: '127.0.0.1', port: 0 })
      t.after(() => listening.close())
      const open = (trunk: Trunk) => outcome(trunk.open('filesystem', { op: 'list', path: Buffer.from('') }))
      // two descriptors each: between them there is room for none
      while (budgets.status().descriptors.used < 128) {
        const before = budgets.status().descriptors.used
        await Promise.all([hold(greedy), hold(next), hold(last)])
        if (budgets.status().descriptors.used === before) break
      }
      assert.equal(await open(last), 'ERR_HANDLE_LIMIT')
      const socket = createConnection(listening.address.port, '127.0.0.1')
      await once(socket, 'connect')
      t.after(() => socket.destroy())
      await eventually(() => budgets.status().descriptors.waiting === 1, 'an accept waits')
      greedy.abort(new Error('enough'))
      const first = await listening[Symbol.asyncIterator]().next()
      assert.equal(first.done, false)
    }))
})

/**
 * A read that stays open and is never taken; by hand, since the client of this package keeps to 48
 * at a time.
 */
async function hold(trunk: Trunk): Promise<string> {
  return await outcome(trunk.open('filesystem', { op: 'read', path: Buffer.from('sparse'), offset: 0 }))
}
