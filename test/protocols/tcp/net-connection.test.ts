/** A connection over Node's socket: what it may hold that nobody was told of. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { it } from 'node:test'
import { loadNative, type NativeAddon } from '../../../src/native/load.ts'
import { Uint8ArrayList } from 'uint8arraylist'
import { netConnection } from '../../../protocols/tcp/net-connection.ts'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { dialLoopback, loopbackServer } from '../../helpers/loopback.ts'

const KIB = 1024

it('a turn of the event loop reads 128 KiB and one chunk of a connection of Node’s, however much there is, and pausing stops that [R-352]', async () => {
  const total = 4 * KIB * KIB
  const server = await loopbackServer((socket) => socket.end(Buffer.alloc(total)))
  const socket = await dialLoopback(server.port)
  await eventually(() => server.sockets.length === 1, 'the other end')
  await steady(() => server.sockets[0]?.bytesWritten ?? 0)
  const connection = netConnection(socket)
  const turns: number[] = []
  let received = 0
  let turn = 0
  let pauseAt = 1024 * KIB
  const ended = new Promise<void>((resolve) => {
    connection.start({
      data(chunk) {
        received += chunk.byteLength
        if (turn === 0) setImmediate(() => (turns.push(turn), (turn = 0)))
        turn += chunk.byteLength
        if (received < pauseAt) return
        pauseAt = Infinity
        connection.pause()
      },
      end: resolve,
      drained: () => undefined,
      broken: () => undefined,
      failed: assert.ifError,
      closed: () => undefined,
    })
  })
  await eventually(() => pauseAt === Infinity, 'it has paused')
  const pausedAt = received
  assert.equal(await steady(() => received), pausedAt)
  connection.resume()
  await ended
  assert.equal(received, total)
  const most = Math.max(...turns)
  assert.ok(most <= 192 * KIB, `${most} bytes in one turn`)
  const closed = once(socket, 'close')
  connection.reset()
  await closed
  server.close()
})

it(
  'an end goes before the reset that follows it at once, and takes the last bytes along [R-452]',
  { skip: loadNative() === undefined && 'only the native addon can tell' },
  async () => {
    const native = loadNative() as NativeAddon
    const listening = native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, 1)
    const socket = await dialLoopback(native.localAddress(listening).port)
    const { fd } = native.accept(listening)!
    native.close(listening)
    const connection = netConnection(socket)
    const closed = new Promise<void>((resolve) => {
      connection.start({
        data: () => assert.fail('nothing was sent'),
        end: () => assert.fail('it has not ended'),
        drained: () => undefined,
        broken: () => undefined,
        failed: assert.ifError,
        closed: resolve,
      })
    })
    connection.write(new Uint8ArrayList(Buffer.from('last words')))
    connection.end()
    connection.reset()
    await closed
    const room = new Uint8Array(64)
    assert.equal(native.read(fd, room), 10)
    // the kernel's word for a reset behind an end; without the end before it, it is ECONNRESET
    assert.equal(native.socketError(fd), 'EPIPE')
    native.close(fd)
  },
)

it('what a paused connection of Node’s has read is told before the reset that came after it [R-551]', async () => {
  const server = await loopbackServer((socket) => socket.write('first'))
  const socket = await dialLoopback(server.port)
  const connection = netConnection(socket)
  const told: string[] = []
  const closed = new Promise<void>((resolve) => {
    connection.start({
      data(chunk) {
        told.push(`${chunk.byteLength}`)
        connection.pause()
      },
      end: () => told.push('end'),
      drained: () => undefined,
      broken: () => undefined,
      failed: (error) => told.push((error as NodeJS.ErrnoException).code ?? ''),
      closed: resolve,
    })
  })
  await eventually(() => told.length === 1, 'the first bytes')
  const far = server.sockets[0]!
  // fewer than Node buffers before it stops reading
  far.write(Buffer.alloc(5000))
  await eventually(() => socket.bytesRead === 5005, 'Node has read the rest')
  resetSocket(far)
  await closed
  assert.deepEqual(told, ['5', '5000', 'ECONNRESET'])
  server.close()
})

it('a reset that came together with the last bytes is told after them, and closes the connection by itself [R-552]', async () => {
  const server = await loopbackServer(() => undefined)
  const socket = await dialLoopback(server.port)
  await eventually(() => server.sockets.length === 1, 'the other end')
  const connection = netConnection(socket)
  const told: string[] = []
  const closed = new Promise<void>((resolve) => {
    connection.start({
      data: (chunk) => told.push(`${chunk.byteLength}`),
      end: () => told.push('end'),
      drained: () => undefined,
      broken: () => undefined,
      failed: (error) => told.push((error as NodeJS.ErrnoException).code ?? ''),
      closed: resolve,
    })
  })
  const far = server.sockets[0]!
  // both before our socket is looked at again
  far.write(Buffer.alloc(5000))
  resetSocket(far)
  await closed
  assert.deepEqual(told, ['5000', 'ECONNRESET'])
  server.close()
})
