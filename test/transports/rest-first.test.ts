/**
 * A peer that says something and is gone at once: writing to it fails while its last bytes wait in
 * the kernel. They come first, whole, and only then the failure. No link reads here before its peer
 * is gone, so each write is the first thing that meets it.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import { TrunkError } from '../../src/contracts/errors.ts'
import { connect } from '../../src/index.ts'
import type { Transport } from '../../src/contracts/types.ts'
import { RestFirst } from '../../transports/internal/rest-first.ts'
import { serial } from '../../transports/serial.ts'
import { exec } from '../../transports/stdio.ts'
import { tcp } from '../../transports/tcp.ts'
import { unix } from '../../transports/unix.ts'
import { transportOptions } from '../conformance/transport-suite.ts'
import { eventually } from '../helpers/eventually.ts'
import { seededBytes } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { concat, encodeFrame, encodeStatus, frame, SYNC, TYPE } from '../helpers/naive-codec.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { helloFields } from '../helpers/raw-peer.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
/** More than a first read takes, less than what any line holds for a reader. */
const REST = seededBytes(7, 100_000)

/** Somebody who says `rest` to the visitor, and is gone. */
interface Leaving {
  readonly transport: Transport
  /** Resolves when it is gone. */
  readonly leave: () => Promise<void>
  readonly close: () => Promise<void>
}

async function leaving(
  listen: { path: string } | { port: number; host: string },
  toTransport: (server: Server) => Transport,
  rest: Uint8Array,
): Promise<Leaving> {
  let visitor: Socket | undefined
  const server = createServer((socket: Socket) => {
    socket.on('error', () => undefined) // it goes on purpose
    visitor = socket
  })
  server.listen(listen)
  await once(server, 'listening')
  return {
    transport: toTransport(server),
    async leave() {
      await eventually(() => visitor !== undefined, 'a visitor')
      const socket = visitor!
      const closed = once(socket, 'close')
      // a reset, where there is one: an end alone would let the first write pass
      socket.write(rest, () => (socket.remoteAddress === undefined ? socket.destroy() : reset(socket)))
      await closed
    },
    async close() {
      server.close()
      await once(server, 'close')
    },
  }
}

function reset(socket: Socket): void {
  // eslint-disable-next-line no-restricted-properties -- the peer that is tested against
  socket.resetAndDestroy()
}

let sockets = 0
const path = (): string => join(folder, `${sockets++}.sock`)

const LINES: Readonly<Record<string, (rest: Uint8Array) => Promise<Leaving>>> = {
  unix: (rest) => {
    const at = path()
    return leaving({ path: at }, () => unix({ path: at }), rest)
  },
  tcp: (rest) =>
    leaving({ host: '127.0.0.1', port: 0 }, (server) => tcp({ port: (server.address() as AddressInfo).port }), rest),
  'serial+unix': (rest) => {
    const at = path()
    return leaving({ path: at }, () => serial({ socket: at }), rest)
  },
}

describe('a peer that is gone', () => {
  for (const [name, make] of Object.entries(LINES)) {
    for (const face of ['direct', 'iterables'] as const) {
      it(`is heard to its end before a write over ${name} fails, through ${face} [R-467]`, async () => {
        const before = countHandles()
        const peer = await make(REST)
        const link = await peer.transport.connect(transportOptions())
        await peer.leave()
        const got: Uint8Array[] = []
        let failure: unknown
        if (face === 'direct') {
          failure = await new Promise<unknown>((resolve) => {
            link.direct?.start({
              data: (chunk) => got.push(new Uint8Array(chunk)),
              end: () => resolve('it ended'),
              fail: resolve,
              drain: () => undefined,
            })
            link.direct?.write([Uint8Array.of(1), Uint8Array.of(2)])
          })
        } else {
          const sinking = link.sink(word()).catch((error: unknown) => error)
          try {
            for await (const chunk of link.source) got.push(new Uint8Array(chunk.subarray()))
          } catch (error) {
            failure = error
          }
          assert.equal(codeOf(await sinking), 'ERR_LINK_RESET')
        }
        assert.ok(Buffer.concat(got).equals(REST), `${Buffer.concat(got).byteLength} bytes of ${REST.byteLength} came`)
        assert.equal(codeOf(failure), 'ERR_LINK_RESET')
        await link.close()
        await peer.close()
        await nothingLeft(before)
      })
    }
  }

  it('is heard to its end where it is a command that reads nothing [R-467]', async () => {
    const before = countHandles()
    // longer than an end waits for the status that explains it
    const script = 'exec <&-; printf r; sleep 0.5; head -c 99999 /dev/zero | tr "\\0" r; exit 3'
    const link = await exec({ command: 'sh', args: ['-c', script] }).connect(transportOptions())
    let count = 0
    let wrote = false
    const failure = await new Promise<unknown>((resolve) => {
      link.direct?.start({
        data: (chunk) => {
          count += chunk.byteLength
          // its stdin is closed by now
          if (!wrote) link.direct?.write([Uint8Array.of(1)])
          wrote = true
        },
        end: () => resolve('it ended'),
        fail: resolve,
        drain: () => undefined,
      })
    })
    assert.equal(count, 100_000)
    assert.equal(codeOf(failure), 'ERR_LINK_LOST')
    await link.close()
    await nothingLeft(before)
  })

  it('is believed why it left: its goodbye names the error of the session [R-467]', async () => {
    const bye = frame(TYPE.BYE, 0, encodeStatus({ number: 32, name: '', sentence: 'no room' }))
    const peer = await LINES['unix']!(
      concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, cbor(helloFields()))), encodeFrame(bye)),
    )
    const waitsForever: Transport = {
      ...peer.transport,
      async connect(options) {
        const link = await peer.transport.connect(options)
        await peer.leave()
        return link
      },
    }
    await assert.rejects(connect(waitsForever), { code: 'ERR_SESSION_LIMIT', origin: 'remote' })
    await peer.close()
  })

  it('is not waited for beyond the time of a close, where it stopped reading and did not end', () => {
    const clock = manualClock()
    const readable = new PassThrough()
    const rest = new RestFirst(readable, clock, 5000)
    const told: Error[] = []
    const tell = (error: Error): void => void told.push(error)
    const broken = Object.assign(new Error('broken'), { code: 'EPIPE' })
    rest.failed(broken, tell)
    clock.advance(4999)
    assert.deepEqual(told, [])
    clock.advance(1)
    assert.deepEqual(told, [broken])
    assert.equal(rest.settle(), false, 'an error is passed on once')
    // what has nothing to do with the peer, or comes when all is read, is passed on at once
    rest.failed(Object.assign(new Error('full'), { code: 'ENOSPC' }), tell)
    readable.destroy()
    rest.failed(broken, tell)
    assert.equal(told.length, 3)
    assert.equal(clock.pending, 0)
  })
})

/** What is written to whoever is gone. */
async function* word(): AsyncGenerator<Uint8Array, void, undefined> {
  yield Uint8Array.of(1)
  await new Promise(() => undefined)
}

function codeOf(error: unknown): string {
  return error instanceof TrunkError ? error.code : String(error)
}
