/**
 * A reset that comes together with the last bytes: libuv tells an end, and the kernel knows better.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { it } from 'node:test'
import { loadNative } from '../../src/native/load.ts'
import { tcp } from '../../transports/tcp.ts'
import { transportOptions } from '../conformance/transport-suite.ts'
import { eventually } from '../helpers/eventually.ts'

const skip = loadNative() === undefined ? 'only the native addon can tell' : false

for (const bytes of [10, 100_000])
  it(`a link tells ${bytes} bytes and the reset that came with them, and no end [R-380]`, { skip }, async () => {
    let peer: Socket | undefined
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      peer = socket
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const link = await tcp({ host: '127.0.0.1', port }).connect(transportOptions())
    await eventually(() => peer !== undefined, 'the peer has the connection')
    const written = new Promise((resolve) => peer?.write(Buffer.alloc(bytes), resolve))
    await written
    const closed = once(peer!, 'close')
    // eslint-disable-next-line no-restricted-properties -- the peer that is tested against
    peer?.resetAndDestroy()
    await closed
    let received = 0
    const told = await new Promise<string>((resolve) => {
      link.direct?.start({
        data: (chunk) => {
          received += chunk.byteLength
        },
        end: () => {
          resolve('an end')
        },
        fail: (error) => {
          resolve((error as { code?: string }).code ?? error.message)
        },
        drain: () => undefined,
      })
    })
    assert.deepEqual([received, told], [bytes, 'ERR_LINK_RESET'])
    await link.close()
    server.close()
  })
