/**
 * Sockets on descriptors that Node's own constructor refuses: transports/vsock/adopt.ts, with what
 * this machine has of that kind.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { createServer, Socket, type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { nativeStatus, type NativeAddon } from '../../src/native/load.ts'
import { adopt } from '../../transports/vsock/adopt.ts'
import { PooledReader } from '../../transports/internal/pooled-reader.ts'
import { steady } from '../helpers/eventually.ts'
import { seededBytes } from '../helpers/link-traffic.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'

const status = nativeStatus()

describe('an adopted descriptor', { skip: 'problem' in status ? status.problem : false, timeout: 60_000 }, () => {
  const native = 'native' in status ? status.native : (undefined as never as NativeAddon)

  /**
   * The controlling side of a pseudo terminal whose other side nobody opened: a character device
   * that echoes.
   */
  const openEcho = (): number => openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)

  /** A descriptor that is connected to `far`, without a Node socket of its own. */
  async function connected(): Promise<{ fd: number; far: Socket; done: () => void }> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const fd = native.connect({ family: 'ipv4', address: '127.0.0.1', port }, 1_000)
    const [far] = (await once(server, 'connection')) as [Socket]
    return { fd, far, done: () => server.close() }
  }

  it('is of a kind that the constructor refuses', () => {
    const fd = openEcho()
    assert.throws(() => new Socket({ fd }), { code: 'ERR_INVALID_FD_TYPE' })
    closeSync(fd)
  })

  it('is read and written by a socket of net, and closed with it', async () => {
    const before = countHandles()
    const { socket, fd } = adopt(native, openEcho())
    socket.write('there and ')
    socket.write('back\n')
    let echoed = ''
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      echoed += chunk.toString()
      if (echoed.endsWith('\n')) break
    }
    assert.equal(echoed, 'there and back\r\n')
    assert.throws(() => fstatSync(fd), { code: 'EBADF' })
    await nothingLeft(before)
  })

  it('passes 2 MiB each way at once, half-closes either way, and leaves nothing', async () => {
    const before = countHandles()
    const { fd, far, done } = await connected()
    const reader = new PooledReader()
    const { socket } = adopt(native, fd, reader.onread)
    const [out, back] = [seededBytes(1, 2 * 1024 * 1024), seededBytes(2, 2 * 1024 * 1024)]
    const [atNear, atFar]: [Buffer[], Buffer[]] = [[], []]
    reader.start((chunk) => atNear.push(Buffer.from(chunk)))
    socket.resume()
    far.on('data', (chunk: Buffer) => atFar.push(chunk))
    socket.end(out)
    await once(far, 'end')
    // the other direction goes on
    far.end(back)
    await Promise.all([once(socket, 'close'), once(far, 'close')])
    assert.ok(Buffer.concat(atFar).equals(out), 'near to far')
    assert.ok(Buffer.concat(atNear).equals(back), 'far to near')
    done()
    await nothingLeft(before)
  })

  it('stops a writer whose peer does not read, and lets it go on', async () => {
    const { fd, far, done } = await connected()
    far.pause()
    const { socket } = adopt(native, fd)
    const chunk = Buffer.alloc(256 * 1024)
    let left = 0
    for (let i = 0; i < 64; i++) socket.write(chunk, () => left++)
    const stopped = await steady(() => left)
    assert.ok(stopped < 64, `${stopped} chunks left although nobody read`)
    far.resume()
    socket.end()
    await once(socket, 'finish')
    assert.equal(left, 64)
    far.destroy()
    socket.destroy()
    done()
  })

  it('is closed where it cannot be adopted, and nothing else is', async () => {
    const before = countHandles()
    const fd = openEcho()
    const failing: NativeAddon[] = [
      { ...native, placeholder: () => failWith('EMFILE') },
      { ...native, replace: () => failWith('EBUSY') },
    ]
    assert.throws(() => adopt(failing[0]!, fd), { code: 'EMFILE' })
    assert.throws(() => fstatSync(fd), { code: 'EBADF' })
    const next = openEcho()
    assert.throws(() => adopt(failing[1]!, next), { code: 'EBUSY' })
    assert.throws(() => fstatSync(next), { code: 'EBADF' })
    await nothingLeft(before)
  })

  it('is put under a number only where that number is one', () => {
    const fd = openEcho()
    assert.throws(
      () => {
        native.replace(100_000, fd)
      },
      { code: 'EBADF' },
    )
    const placeholder = native.placeholder()
    assert.throws(
      () => {
        native.replace(placeholder, 100_000)
      },
      { code: 'EBADF' },
    )
    // both are what they were
    closeSync(fd)
    native.close(placeholder)
  })
})

function failWith(code: string): never {
  throw Object.assign(new Error(code), { code })
}
