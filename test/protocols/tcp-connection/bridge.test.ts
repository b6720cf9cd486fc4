import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { join } from '../../../protocols/tcp/bridge.ts'
import type { Connection, ConnectionReceiver } from '../../../protocols/tcp/connection.ts'
import { hiddenReset } from '../../../protocols/tcp/hidden-reset.ts'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { bridge } from '../../../protocols/tcp-connection.ts'
import { defineProtocol, type Pipe, type Trunk } from '../../../src/index.ts'
import { loadNative } from '../../../src/native/load.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { dialLoopback, loopbackServer, textOf } from '../../helpers/loopback.ts'
import { CONNECTION_KINDS, type Ends } from '../../helpers/connection-kinds.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const KIB = 1024
const MIB = 1024 * KIB

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

for (const { kind, skip, resets, ends: makeEnds } of CONNECTION_KINDS)
  describe(`bridge between a pipe and a connection, ${kind}`, { skip }, () => {
    async function ends(): Promise<Ends> {
      const made = await makeEnds()
      open.push(made)
      return made
    }

    /** What a connection that is cut looks like at its other end. */
    const cutLooks = resets ? 'ECONNRESET' : 'a clean end'

    it('passes the end of writing on, and the answer after it [R-106]', async () => {
      const { pipe, socket } = await ends()
      const request = heard(socket)
      await pipe.write(Buffer.from('request'))
      await pipe.closeWrite()
      assert.equal(await request, 'request')
      socket.write('the ')
      socket.end('answer')
      assert.equal(await textOf(pipe.source), 'the answer')
      await pipe.close()
    })

    it('passes the end of the connection on, and what is written after it [R-106]', async () => {
      const { pipe, socket } = await ends()
      const rest = heard(socket)
      socket.end('greeting')
      assert.equal(await textOf(pipe.source), 'greeting')
      await pipe.write(Buffer.from('still '))
      await pipe.write(Buffer.from('listening'))
      await pipe.close()
      assert.equal(await rest, 'still listening')
    })

    it('loses no byte at the end, however much is on its way [R-106]', async () => {
      const { pipe, socket } = await ends()
      const block = Buffer.alloc(5 * MIB + 7, 'abcdefghijk')
      const reading = hashed(socket)
      await pipe.sink([block.subarray(0, 3), block.subarray(3)])
      const back = digest(pipe.source)
      socket.end(block)
      const want = createHash('sha256').update(block).digest('hex')
      assert.deepEqual([await reading, await back], [want, want])
      await pipe.close()
    })

    if (resets)
      it('passes a reset of the connection on', async () => {
        const { pipe, socket, failures } = await ends()
        const reading = textOf(pipe.source)
        resetSocket(socket)
        await assert.rejects(reading, { code: 'ERR_CONNECTION_RESET', origin: 'remote' })
        await assert.rejects(pipe.close(), { code: 'ERR_CONNECTION_RESET' })
        assert.deepEqual(failures, [])
      })

    if (resets)
      it('passes a reset of the connection on after it has ended', async () => {
        const { pipe, socket } = await ends()
        socket.end('last words')
        assert.equal(await textOf(pipe.source), 'last words')
        resetSocket(socket)
        await assert.rejects(pipe.close(), { code: 'ERR_CONNECTION_RESET' })
      })

    for (const ended of [false, true]) {
      const when = ended ? 'after the end of writing' : 'while both directions are open'
      const cannot = ended && loadNative() === undefined ? 'only the native addon can tell' : false
      if (resets)
        it(`takes no reset that comes with the last data for an end, ${when}`, { skip: cannot }, async () => {
          const { pipe, socket } = await ends()
          if (ended) {
            await pipe.closeWrite()
            await once(socket.resume(), 'end')
          }
          // Nothing reads the pipe, so data waits in the far kernel when the reset comes.
          for (let i = 0; i < 128; i += 1) socket.write(Buffer.alloc(64 * KIB))
          await steady(() => socket.bytesWritten - socket.writableLength)
          resetSocket(socket)
          await assert.rejects(heardOf(pipe), { code: 'ERR_CONNECTION_RESET' })
        })
    }

    it('passes a reset of the pipe on', async () => {
      const { near, pipe, socket } = await ends()
      const failed = errorOf(socket)
      pipe.abort(new Error('enough'))
      assert.equal(await failed, cutLooks)
      await eventually(() => near.status().pipes.length === 0, 'the pipe is gone')
    })

    it('passes a reset of the pipe on while the connection takes nothing', async () => {
      const { far, pipe, socket } = await ends()
      socket.pause()
      let written = 0
      const writing = (async () => {
        for (;;) {
          await pipe.write(Buffer.alloc(64 * KIB))
          written += 64 * KIB
        }
      })()
      writing.catch(() => undefined)
      await steady(() => written)
      // Node's own socket takes a reset that comes with data for an end, so the kernel is asked.
      const cut = hiddenOrOpen(socket, !resets)
      pipe.abort(new Error('enough'))
      assert.equal(await cut, cutLooks)
      await assert.rejects(writing, /enough|reset|abort/)
      await eventually(() => far.status().pipes.length === 0, 'the handler has ended')
    })

    it('resets the connection when the pipe is reset after its end [R-106]', async () => {
      const { far, pipe, socket } = await ends()
      const ended = once(socket.resume(), 'end')
      await pipe.write(Buffer.alloc(100 * KIB))
      await pipe.closeWrite()
      pipe.abort(new Error('enough'))
      // the end was before the reset, of which writing tells
      await ended
      await eventually(() => (socket.write('x'), socket.destroyed), 'the connection is cut')
      await eventually(() => far.status().pipes.length === 0, 'the handler has ended')
    })

    it('resets the connection when the session is lost', async () => {
      const { near, socket } = await ends()
      const failed = errorOf(socket)
      near.abort(new Error('the line is cut'))
      assert.equal(await failed, cutLooks)
    })

    if (!resets) {
      it('takes a connection that is closed at once for one that has ended', async () => {
        const { pipe, socket, failures } = await ends()
        socket.write('last words')
        socket.destroySoon()
        assert.equal(await textOf(pipe.source), 'last words')
        await pipe.close()
        assert.deepEqual(failures, [])
      })

      it('tells whoever writes to a connection that was closed', async () => {
        const { pipe, socket } = await ends()
        const closed = once(socket, 'close')
        socket.destroy()
        await closed
        assert.equal(await textOf(pipe.source), '')
        await assert.rejects(
          async () => {
            for (;;) await pipe.write(Buffer.alloc(KIB))
          },
          { code: 'ERR_CONNECTION_RESET' },
        )
      })

      it('passes on as a reset that a connection was closed with something unread', async () => {
        const { pipe, socket } = await ends()
        socket.pause()
        let written = 0
        const writing = (async () => {
          for (;;) {
            await pipe.write(Buffer.alloc(64 * KIB))
            written += 64 * KIB
          }
        })()
        writing.catch(() => undefined)
        await steady(() => written)
        socket.destroy()
        await assert.rejects(textOf(pipe.source), { code: 'ERR_CONNECTION_RESET' })
        await assert.rejects(writing)
      })
    }

    it('stops reading a connection whose pipe is not read, then delivers every byte [R-111]', async () => {
      const { near, pipe, socket } = await ends()
      const total = 64 * MIB
      const block = Buffer.alloc(MIB, 'a line of text\n')
      const before = process.memoryUsage().rss
      let sent = 0
      const sending = (async () => {
        while (sent < total) {
          if (!socket.write(block)) await once(socket, 'drain')
          sent += block.length
        }
        socket.end()
      })()
      const stalledAt = await steady(() => socket.bytesWritten - socket.writableLength)
      // What the kernel's buffers (a few MiB each way), one window and the bridge may hold; far
      // from all of it.
      assert.ok(stalledAt < 24 * MIB, `${stalledAt} bytes were taken`)
      assert.ok(process.memoryUsage().rss - before < 64 * MIB)
      // Nobody else waits for it.
      assert.ok((await near.ping()) < 1_000)
      let received = 0
      for await (const chunk of pipe.source) received += chunk.byteLength
      await sending
      assert.equal(received, total)
      await pipe.close()
    })

    it('stops reading a pipe whose connection is not read, then delivers every byte [R-111]', async () => {
      const { pipe, socket } = await ends()
      socket.pause()
      const total = 64 * MIB
      const block = Buffer.alloc(MIB, 'a line of text\n')
      let sent = 0
      const sending = (async () => {
        while (sent < total) {
          await pipe.write(block)
          sent += block.length
        }
        await pipe.closeWrite()
      })()
      const stalledAt = await steady(() => sent)
      assert.ok(stalledAt < 32 * MIB, `${stalledAt} bytes were taken`)
      let received = 0
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
      socket.resume()
      await once(socket, 'end')
      await sending
      assert.equal(received, total)
    })

    it('drops what comes for a reader that has gone, and goes on in the other direction', async () => {
      const { far, pipe, socket } = await ends()
      // A unix socket that is closed while it holds something unread has ECONNRESET in place of the
      // end, behind every byte; a program that closes its own does the same to its clients.
      const theirs = heard(socket, resets ? [] : ['ECONNRESET'])
      socket.write('nobody reads this')
      for await (const chunk of pipe.source) {
        assert.ok(chunk.byteLength > 0)
        break
      }
      await pipe.write(Buffer.from('but '))
      // More than every buffer on the way together: this would hang if the socket were merely
      // paused.
      for (let i = 0; i < 32; i += 1) if (!socket.write(Buffer.alloc(MIB))) await once(socket, 'drain')
      await pipe.write(Buffer.from('this arrives'))
      await pipe.closeWrite()
      assert.equal(await theirs, 'but this arrives')
      await eventually(() => far.status().pipes.length === 0, 'the handler has ended')
      // Cut, not left open: writing tells.
      await eventually(() => (socket.write('x'), socket.destroyed), 'the connection is cut')
    })
  })

describe('bridge', () => {
  it('rejects with the error of the side that failed, and leaves no listener', async () => {
    const server = await loopbackServer()
    const outcome: Promise<unknown>[] = []
    let theirs: Pipe | undefined
    const holder = defineProtocol({
      name: 'hold',
      parse: () => undefined,
      async handle(request) {
        theirs = request.accept()
        await once(theirs.signal, 'abort')
      },
    })
    const [near] = await trunkPair({}, { protocols: [holder] })
    open.push(server, {
      close: () => {
        near.abort(new Error('the test is over'))
      },
    })
    for (const cut of ['socket', 'pipe', 'signal'] as const) {
      const pipe = await near.open('hold')
      const socket = await dialLoopback(server.port)
      const stop = new AbortController()
      const done = bridge(pipe, socket, { signal: stop.signal }).then(
        () => 'well',
        (error: unknown) => error,
      )
      outcome.push(done)
      await eventually(() => server.sockets.length === outcome.length, 'the server has the connection')
      if (cut === 'socket') resetSocket(server.sockets.at(-1)!)
      else if (cut === 'pipe') theirs?.abort(new Error('theirs'))
      else stop.abort(new Error('mine'))
      const error = (await done) as { code?: string }
      const want = { socket: 'ERR_CONNECTION_RESET', pipe: 'ERR_ABORTED', signal: 'ERR_ABORTED' }
      assert.equal(error.code, want[cut], cut)
      assert.equal(socket.destroyed, true)
      assert.equal(
        socket.listenerCount('data') + socket.listenerCount('drain') + socket.listenerCount('end'),
        0 + endListeners(socket),
      )
      await eventually(() => near.status().pipes.length === 0, 'the pipe is gone')
    }
  })

  /**
   * A pipe whose peer has ended its writing, joined to a connection that does what the test says at
   * our end of it.
   */
  async function joinedAtItsEnd(
    started: (receiver: ConnectionReceiver) => void,
    ended: (receiver: ConnectionReceiver, near: Trunk) => void,
  ): Promise<{ code?: string } | undefined> {
    const [near, far] = await trunkPair({}, { protocols: [] })
    far.handle(
      defineProtocol({
        name: 'ends',
        parse: () => undefined,
        async handle(request) {
          await request.accept().closeWrite()
          await once(request.signal, 'abort')
        },
      }),
    )
    const pipe = await near.open('ends')
    let told: ConnectionReceiver | undefined
    const connection: Connection = {
      local: { address: '', port: 0 },
      remote: { address: '', port: 0 },
      unsent: 0,
      unacknowledged: 0,
      onGone: () => undefined,
      start(receiver) {
        told = receiver
        queueMicrotask(() => {
          started(receiver)
        })
      },
      pause: () => undefined,
      resume: () => undefined,
      release: () => undefined,
      abandon: () => undefined,
      write: () => true,
      end() {
        if (told !== undefined) ended(told, near)
      },
      reset: () => told?.closed(),
    }
    return await join(pipe, connection).over.then(
      () => undefined,
      (error: unknown) => error as { code?: string },
    )
  }

  it('fails when the connection is over, well, and the pipe fails before the last bytes have left', async () => {
    const error = await joinedAtItsEnd(
      (receiver) => {
        receiver.data(Buffer.alloc(MIB))
        receiver.end()
      },
      (receiver, near) => {
        receiver.closed()
        near.abort(new Error('the line is cut'))
      },
    )
    assert.equal(error?.code, 'ERR_SESSION_ABORTED')
  })

  it('resets a connection that is still open when the pipe fails behind its end, with nothing under way [R-353]', async () => {
    const error = await joinedAtItsEnd(
      () => undefined,
      (_receiver, near) => {
        setImmediate(() => {
          near.abort(new Error('the line is cut'))
        })
      },
    )
    assert.equal(error?.code, 'ERR_SESSION_ABORTED')
  })

  it('takes a connection that has ended or failed before it came', async () => {
    const server = await loopbackServer((socket) => {
      socket.end('early')
    })
    const [near, far] = await trunkPair({}, { protocols: [] })
    open.push(server, {
      close: () => {
        near.abort(new Error('the test is over'))
      },
    })
    far.handle(
      defineProtocol({
        name: 'dial',
        parse: (params) => params,
        async handle(request) {
          const socket = await dialLoopback(server.port)
          await eventually(() => socket.readableLength > 0, 'the data has come')
          if (request.params === 'gone') socket.destroy()
          await bridge(request.accept(), socket)
        },
      }),
    )
    const pipe = await near.open('dial', 'ended')
    assert.equal(await textOf(pipe.source), 'early')
    await pipe.close()
    const gone = near.open('dial', 'gone').then((opened) => opened.close())
    await assert.rejects(gone, { code: 'ERR_CONNECTION_RESET' })
  })
})

/** Node's own listener for 'end', which every socket has. */
function endListeners(socket: Socket): number {
  return socket.listeners('end').filter((listener) => listener.name === 'onReadableStreamEnd').length
}

/** How many bytes came before the end. */
async function heardOf(pipe: Pipe): Promise<number> {
  let bytes = 0
  for await (const chunk of pipe.source) bytes += chunk.byteLength
  return bytes
}

async function digest(source: AsyncIterable<Uint8Array | { subarray(): Uint8Array }>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of source) hash.update(chunk.subarray())
  return hash.digest('hex')
}

/**
 * Everything that comes, as text, up to the end or an error of `ends`. Not by iterating: that would
 * destroy the socket when it ends.
 */
async function heard(socket: Socket, ends: readonly string[] = []): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  try {
    await once(socket, 'end')
  } catch (error) {
    if (!ends.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  return text
}

async function hashed(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  socket.on('data', (chunk: Buffer) => hash.update(chunk))
  await once(socket, 'end')
  return hash.digest('hex')
}

async function hiddenOrOpen(socket: Socket, isUnix: boolean): Promise<string> {
  socket.resume()
  return await new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? '')
    })
    socket.once('end', () => {
      void hiddenReset(socket, isUnix).then((code) => {
        resolve(code ?? 'a clean end')
      })
    })
  })
}

async function errorOf(socket: Socket): Promise<string> {
  socket.resume()
  return await new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? '')
    })
    socket.once('end', () => {
      resolve('a clean end')
    })
  })
}
