/**
 * The addon's part for character devices: bytes through descriptors that never block. A TCP
 * connection takes the place of the device where it can.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { nativeStatus, READABLE, WRITABLE, type NativeAddon } from '../../src/native/load.ts'
import { bareDevice } from '../../transports/serial/bare-device.ts'
import { DeviceDuplex } from '../../transports/serial/device-duplex.ts'
import { eventually } from '../helpers/eventually.ts'
import { seededBytes } from '../helpers/link-traffic.ts'
import { openPty } from '../helpers/pty.ts'

const status = nativeStatus()
const skip = 'problem' in status ? status.problem : false
const BAD = { code: 'ERR_INVALID_ARG_VALUE' }

describe('native device bytes', { skip }, () => {
  const native = 'native' in status ? status.native : (undefined as never as NativeAddon)
  let listening = -1

  before(() => {
    listening = native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, 8)
  })
  after(() => {
    native.close(listening)
  })

  /** A connection: its raw end, and the end that Node carries. */
  async function pair(): Promise<{ fd: number; far: Socket }> {
    const far = connect({ host: '127.0.0.1', port: native.localAddress(listening).port, allowHalfOpen: true })
    await once(far, 'connect')
    let fd: number | undefined
    await eventually(() => (fd = native.accept(listening)?.fd) !== undefined, 'a connection')
    return { fd: fd!, far }
  }

  /** What `read` gives once it gives something. */
  async function readSoon(fd: number, into: Uint8Array): Promise<number> {
    let read: number | undefined
    await eventually(() => (read = native.read(fd, into)) !== undefined, 'bytes')
    return read!
  }

  it('are read into the room that is given and nowhere else', async () => {
    const { fd, far } = await pair()
    const buffer = Buffer.alloc(12, '.')
    assert.equal(native.read(fd, buffer), undefined)
    far.end('abcdefgh')
    assert.equal(await readSoon(fd, buffer.subarray(2, 7)), 5)
    assert.equal(buffer.toString(), '..abcde.....')
    assert.equal(native.read(fd, new Uint8Array(buffer.buffer, buffer.byteOffset + 8, 4)), 3)
    assert.equal(buffer.toString(), '..abcde.fgh.')
    assert.equal(await readSoon(fd, buffer), 0)
    native.close(fd)
    far.destroy()
  })

  it('are read again while there is more: one read of a terminal gives 4,095', async () => {
    const pty = await openPty()
    const fd = openSync(pty.path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
    const bytes = seededBytes(1, 3 * 4096)
    pty.master.write(bytes)
    const room = new Uint8Array(64 * 1024)
    let most = 0
    let length = 0
    await eventually(() => {
      const read = native.read(fd, room.subarray(length)) ?? 0
      most = Math.max(most, read)
      length += read
      return length === bytes.byteLength
    }, 'all bytes')
    assert.ok(bytes.equals(room.subarray(0, length)), 'the same bytes')
    closeSync(fd)
    await pty.close()
  })

  it('are written as far as the device takes them, and told truly [R-122]', async () => {
    const { fd, far } = await pair()
    const sent = seededBytes(2, 8 * 1024 * 1024)
    const chunks = [sent.subarray(0, 10), sent.subarray(10, 10), sent.subarray(10, 70_000), sent.subarray(70_000)]
    const first = native.write(fd, chunks)
    assert.ok(first > 0 && first < sent.byteLength, `${first} bytes at first`)
    let at = first
    while (at < sent.byteLength) {
      const taken = native.write(fd, [sent.subarray(at)])
      at += taken
      if (taken === 0) break
    }
    assert.ok(at < sent.byteLength, 'it is full')
    assert.equal(native.write(fd, [sent.subarray(at)]), 0)
    const heard: Buffer[] = []
    far.on('data', (chunk: Buffer) => heard.push(chunk))
    while (at < sent.byteLength) {
      at += native.write(fd, [sent.subarray(at)])
      await new Promise(setImmediate)
    }
    native.close(fd)
    await once(far, 'end')
    assert.ok(Buffer.concat(heard).equals(sent), 'every byte, once')
    far.destroy()
  })

  it('are waited for either way by one watch', async () => {
    const { fd, far } = await pair()
    const told: (number | undefined)[] = []
    const watch = native.watch(fd, (error, events) => {
      assert.equal(error, undefined)
      told.push(events)
      watch.stop()
    })
    watch.start(READABLE | WRITABLE)
    await eventually(() => told.length === 1, 'it can be written to')
    far.write('x')
    watch.start(READABLE)
    await eventually(() => told.length === 2, 'it can be read')
    assert.deepEqual(told, [WRITABLE, READABLE])
    for (const events of [0, 4, -1, 1.5e10, 'both', null]) assert.throws(() => watch.start(events as number), BAD)
    watch.close()
    native.close(fd)
    far.destroy()
  })

  it('fail with what the system says, and refuse what are no bytes', async () => {
    const { fd, far } = await pair()
    const room = new Uint8Array(8)
    for (const bad of [
      undefined,
      null,
      'text',
      [1],
      new Uint16Array(4),
      new DataView(room.buffer),
      new Uint8Array(0),
    ]) {
      assert.throws(() => native.read(fd, bad as Uint8Array), BAD)
    }
    for (const bad of [undefined, room, 'text', ['text'], [new Uint16Array(4)], { length: 1 }]) {
      assert.throws(() => native.write(fd, bad as Uint8Array[]), BAD)
    }
    assert.throws(() => native.read(-1, room), BAD)
    assert.equal(native.write(fd, []), 0)
    assert.throws(() => native.keepLines(fd), { code: 'ENOTTY', syscall: 'tcgetattr' })
    native.close(fd)
    assert.throws(() => native.read(fd, room), { code: 'EBADF', syscall: 'read' })
    assert.throws(() => native.write(fd, [room]), { code: 'EBADF', syscall: 'write' })
    far.destroy()
  })

  it('go both ways at once through a stream, whole and in order', async () => {
    const { fd, far } = await pair()
    const device = new DeviceDuplex((ready) => bareDevice(native, fd, 'a connection', ready), systemClock)
    const [there, back] = [seededBytes(3, 4 * 1024 * 1024), seededBytes(4, 4 * 1024 * 1024)]
    const heard = { far: [] as Buffer[], device: [] as Buffer[] }
    far.on('data', (chunk: Buffer) => heard.far.push(chunk))
    device.on('data', (chunk: Buffer) => heard.device.push(chunk))
    for (let at = 0; at < there.byteLength; at += 100_000) device.write(there.subarray(at, at + 100_000))
    far.write(back)
    const length = (chunks: Buffer[]) => chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
    await eventually(() => length(heard.far) === there.byteLength, 'there')
    await eventually(() => length(heard.device) === back.byteLength, 'back')
    assert.ok(Buffer.concat(heard.far).equals(there), 'there')
    assert.ok(Buffer.concat(heard.device).equals(back), 'back')
    const ended = once(far, 'end')
    device.destroy()
    await ended
    far.destroy()
  })
})
