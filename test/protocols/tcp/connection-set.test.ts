/**
 * The set of connections that the native addon carries: who is told what, and what memory it holds.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import type { ConnectionReceiver } from '../../../protocols/tcp/connection.ts'
import { connectionSet, type ConnectionSet } from '../../../protocols/tcp/connection-set.ts'
import { NativeConnection } from '../../../protocols/tcp/native-connection.ts'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { Uint8ArrayList } from 'uint8arraylist'
import { eventually, steady } from '../../helpers/eventually.ts'
import { expectNoLeaks } from '../../helpers/no-leaks.ts'

const set = connectionSet()
const skip = set === undefined ? 'the native addon is not built' : false

/** A connection of the set, its other end, and what it was told. */
interface Told {
  readonly connection: NativeConnection
  readonly other: Socket
  readonly events: string[]
  readonly chunks: Uint8Array[]
}

describe('connections of the native addon', { skip }, () => {
  const of = set as ConnectionSet
  const open: (() => void)[] = []
  afterEach(() => {
    for (const close of open.splice(0)) close()
  })

  async function connections(count: number, onData?: (told: Told, all: Told[]) => void): Promise<Told[]> {
    const { native } = of
    const listening = native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, count + 1)
    const local = native.localAddress(listening)
    const all: Told[] = []
    for (let index = 0; index < count; index++) {
      const other = connect({ host: '127.0.0.1', port: local.port, allowHalfOpen: true })
      other.on('error', () => undefined)
      await once(other, 'connect')
      const accepted = native.accept(listening)
      assert.ok(accepted)
      const connection = new NativeConnection(of, accepted.fd, accepted)
      const told: Told = { connection, other, events: [], chunks: [] }
      open.push(() => {
        connection.reset()
        other.destroy()
      })
      connection.start(receiver(told, () => onData?.(told, all)))
      all.push(told)
    }
    native.close(listening)
    return all
  }

  function receiver({ events, chunks, connection }: Told, onData: () => void): ConnectionReceiver {
    return {
      data(chunk) {
        events.push(`${chunk.byteLength}`)
        chunks.push(chunk)
        onData()
      },
      end: () => void events.push('end'),
      drained: () => void events.push('drained'),
      broken: () => void events.push('broken'),
      failed(error) {
        events.push((error as NodeJS.ErrnoException).code ?? 'failed')
        connection.reset()
      },
      closed: () => void events.push('closed'),
    }
  }

  it('are half-open: each end is one side’s, and both close it', async () => {
    const [one] = await connections(1)
    const { connection, other, events } = one!
    other.end('question')
    await eventually(() => events.includes('end'), 'its end')
    assert.equal(connection.write(new Uint8ArrayList(Buffer.from('ans'), Buffer.from('wer'))), true)
    const answer = once(other, 'data') as Promise<[Buffer]>
    connection.end()
    assert.equal((await answer)[0].toString(), 'answer')
    await once(other, 'close')
    assert.deepEqual(events, ['8', 'end', 'closed'])
  })

  it('tell of a failure once, and that nothing is left last', async () => {
    const [one] = await connections(1)
    const { other, events } = one!
    resetSocket(other)
    await eventually(() => events.includes('closed'), 'that it is closed')
    assert.deepEqual(events, ['ECONNRESET', 'closed'])
  })

  it('tell of a reset before they were started, too', async () => {
    const { native } = of
    const listening = native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, 1)
    const other = connect({ host: '127.0.0.1', port: native.localAddress(listening).port })
    await once(other, 'connect')
    const accepted = native.accept(listening)
    native.close(listening)
    assert.ok(accepted)
    const connection = new NativeConnection(of, accepted.fd, accepted)
    const gone = new Promise<void>((resolve) => {
      connection.onGone(resolve)
    })
    resetSocket(other)
    await gone
    const told: Told = { connection, other, events: [], chunks: [] }
    connection.start(receiver(told, () => undefined))
    assert.deepEqual(told.events, [], 'nothing is told within the call')
    await eventually(() => told.events.length === 2, 'what has happened')
    assert.deepEqual(told.events, ['ECONNRESET', 'closed'])
  })

  it('tell nothing more when somebody has reset them in the same turn [R-345]', async () => {
    const all = await connections(8, ({ connection }, others) => {
      for (const other of others) if (other.connection !== connection) other.connection.reset()
    })
    for (const { other } of all) other.write('at once')
    await eventually(() => all.every(({ events }) => events.length > 0), 'all are told something')
    const first = all.filter(({ events }) => events[0] === '7')
    assert.equal(first.length, 1)
    for (const { events } of all) if (events[0] !== '7') assert.deepEqual(events, ['closed'])
  })

  it('are told what is theirs although another one’s receiver throws, whose error is the process’s [R-460]', async () => {
    const thrown: unknown[] = []
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => thrown.push(error))
    try {
      const all = await connections(8, ({ events }) => {
        throw new Error(`receiver of ${events.length}`)
      })
      // in one turn, so that one round tells all of them
      for (const { other } of all) other.write('at once')
      await eventually(() => all.every(({ events }) => events[0] === '7'), 'all are told of their bytes')
      await eventually(() => thrown.length === 8, 'each error is the process’s')
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of others) process.on('uncaughtException', listener)
    }
  })

  it('are given bytes that stay what they are until they are given back, and then their memory again [R-346]', async () => {
    const all = await connections(12)
    const blocks = all.map((_, index) => Buffer.alloc(512 * 1024, index + 1))
    for (const [index, { other }] of all.entries()) other.write(blocks[index]!)
    const total = (): number =>
      all.reduce((sum, { chunks }) => sum + chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0), 0)
    await eventually(() => total() === 12 * 512 * 1024, 'every byte')
    for (const [index, { chunks }] of all.entries()) {
      assert.ok(chunks.every((chunk) => chunk.every((byte) => byte === index + 1)))
    }
    const memories = new Set(all.flatMap(({ chunks }) => chunks.map((chunk) => chunk.buffer)))
    assert.ok(memories.size >= 6, `${memories.size} read buffers for 6 MiB that are held`)
    for (const { connection, chunks } of all) for (const chunk of chunks.splice(0)) connection.release(chunk)
    // one after the other, each given back at once: no new memory
    for (const { connection, other, chunks } of all) {
      other.write('again')
      await eventually(() => chunks.length > 0, 'the next bytes')
      assert.ok(memories.has(chunks[0]!.buffer), 'fresh memory')
      connection.release(chunks.pop()!)
    }
  })

  it('[R-705] have memory that is read into no more where a chunk of it was abandoned', async () => {
    const [one] = await connections(1)
    const { connection, other, chunks } = one!
    const abandoned: Uint8Array[] = []
    for (let round = 0; round < 20; round++) {
      other.write('first')
      await eventually(() => chunks.length > 0, 'its bytes')
      const chunk = chunks.pop()!
      for (const earlier of abandoned) assert.notEqual(chunk.buffer, earlier.buffer)
      connection.abandon(chunk)
      abandoned.push(chunk)
    }
    for (const chunk of abandoned) assert.equal(Buffer.from(chunk).toString(), 'first')
  })

  it('hold little memory although each of many holds one byte of what was read between much else [R-348]', async () => {
    const all = await connections(60)
    const [busy, ...stalled] = all
    const block = Buffer.alloc(900 * 1024)
    let passed = 0
    const given = (): number => {
      for (const chunk of busy!.chunks.splice(0)) {
        passed += chunk.byteLength
        busy!.connection.release(chunk)
      }
      return passed
    }
    for (const [index, { other, chunks }] of stalled.entries()) {
      other.write('x')
      await eventually(() => chunks.length > 0, 'its byte')
      busy!.other.write(block)
      await eventually(() => given() === (index + 1) * block.length, 'what passes by')
    }
    const memories = new Set(stalled.flatMap(({ chunks }) => chunks.map((chunk) => chunk.buffer)))
    const held = [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0)
    assert.ok(held <= 18 * 1024 * 1024, `${held} bytes for ${stalled.length}`)
    for (const { connection, chunks } of stalled) {
      assert.equal(Buffer.from(chunks[0]!).toString(), 'x')
      connection.release(chunks.pop()!)
    }
  })

  it('do not tell of bytes while they pause, and of all of them afterwards', async () => {
    const [one] = await connections(1)
    const { connection, other, chunks, events } = one!
    connection.pause()
    other.write('later')
    assert.equal(await steady(() => events.length), 0)
    connection.resume()
    await eventually(() => chunks.length > 0, 'the bytes')
    assert.equal(Buffer.from(chunks[0]!).toString(), 'later')
  })

  it('say when the system has what it did not take at first', async () => {
    const [one] = await connections(1)
    const { connection, other, events } = one!
    other.pause()
    const block = new Uint8Array(32 * 1024 * 1024).fill(7)
    assert.equal(connection.write(new Uint8ArrayList(block)), false)
    let received = 0
    other.on('data', (chunk: Buffer) => (received += chunk.length)).resume()
    await eventually(() => events.includes('drained'), 'that it has drained')
    connection.end()
    await once(other, 'end')
    assert.equal(received, block.byteLength)
  })

  it('leave no descriptor when the last one has gone', async () => {
    await expectNoLeaks(async () => {
      const all = await connections(3)
      all[0]!.connection.reset()
      all[1]!.other.end()
      all[1]!.connection.end()
      resetSocket(all[2]!.other)
      await eventually(() => all.every(({ events }) => events.includes('closed')), 'all are closed')
      for (const { other } of all) other.destroy()
    })
  })
})
