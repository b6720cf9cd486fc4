/**
 * The multiplexers of libp2p: `@chainsafe/libp2p-yamux` 7, the last one with async iterables,
 * `@libp2p/yamux` 8 and `@libp2p/mplex` 12, whose streams send by calls and give 'message' events.
 */
import { once } from 'node:events'
import { dial, listen } from './loopback.mjs'

// what their packages expect of Node 22
Promise.withResolvers ??= function withResolvers() {
  let resolve
  let reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

// --- the 7.x line: source and sink ---------------------------------------------------------------

function toDuplex(socket) {
  return {
    source: socket,
    async sink(source) {
      for await (const list of source) {
        for (const chunk of list instanceof Uint8Array ? [list] : list) {
          if (!socket.write(chunk)) await once(socket, 'drain')
        }
      }
      socket.end()
    },
  }
}

/** A class, so that it adds next to nothing to the memory of what it wraps. */
class IterableStream {
  #stream
  #messages
  #sinking

  constructor(stream) {
    this.#stream = stream
  }

  send(chunk, more) {
    return this.#start(
      (function* () {
        while (more()) yield chunk
      })(),
    )
  }

  async read(onChunk) {
    for await (const list of this.#stream.source) for (const chunk of list) onChunk(chunk)
  }

  write(chunk) {
    // the bytes are the stream's until they have left
    this.#queue().push(chunk)
  }

  end() {
    this.#queue().end()
  }

  #start(source) {
    this.#sinking ??= this.#stream.sink(source).catch(() => undefined)
    return this.#sinking
  }

  #queue() {
    if (this.#messages === undefined) {
      this.#messages = messageQueue()
      if (this.#sinking === undefined) void this.#start(this.#messages.source())
    }
    return this.#messages
  }
}

/** Single messages as a source. */
function messageQueue() {
  const queue = []
  let ended = false
  let wake
  return {
    push(chunk) {
      queue.push(chunk)
      wake?.()
    },
    end() {
      ended = true
      wake?.()
    },
    async *source() {
      for (;;) {
        while (queue.length > 0) yield queue.shift()
        if (ended) return
        await new Promise((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

export const chainsafeYamux = {
  name: '@chainsafe/libp2p-yamux 7',
  async serve(handle) {
    const { yamux } = await import('@chainsafe/libp2p-yamux')
    const { defaultLogger } = await import('@libp2p/logger')
    return listen((socket) => {
      const muxer = yamux({ maxInboundStreams: 100_000, maxOutboundStreams: 100_000 })({
        logger: defaultLogger(),
      }).createStreamMuxer({
        direction: 'inbound',
        onIncomingStream: (stream) => handle(new IterableStream(stream)),
      })
      pump(muxer, socket)
    })
  },
  async dial(port) {
    const { yamux } = await import('@chainsafe/libp2p-yamux')
    const { defaultLogger } = await import('@libp2p/logger')
    const socket = await dial(port)
    const muxer = yamux({ maxInboundStreams: 100_000, maxOutboundStreams: 100_000 })({
      logger: defaultLogger(),
    }).createStreamMuxer({ direction: 'outbound' })
    pump(muxer, socket)
    return {
      open: async () => new IterableStream(await muxer.newStream()),
      close() {
        muxer.abort(new Error('the round is over'))
        socket.destroy()
        return Promise.resolve()
      },
    }
  },
}

function pump(muxer, socket) {
  const duplex = toDuplex(socket)
  muxer.sink(duplex.source).catch(() => undefined)
  duplex.sink(muxer.source).catch(() => undefined)
}

// --- the 8.x line: send and 'message' ------------------------------------------------------------

async function toConnection(socket, direction) {
  const { AbstractMultiaddrConnection } = await import('@libp2p/utils')
  const { defaultLogger } = await import('@libp2p/logger')
  const { multiaddr } = await import('@multiformats/multiaddr')
  class SocketConnection extends AbstractMultiaddrConnection {
    constructor() {
      super({ remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'), direction, log: defaultLogger().forComponent('bench') })
      socket.on('data', (bytes) => this.onData(bytes))
      socket.on('drain', () => this.safeDispatchEvent('drain'))
      socket.on('close', () => this.onTransportClosed())
    }
    sendData(data) {
      let sentBytes = 0
      let canSendMore = true
      socket.cork()
      for (const chunk of data) {
        sentBytes += chunk.byteLength
        canSendMore = socket.write(chunk)
      }
      socket.uncork()
      return { sentBytes, canSendMore }
    }
    async sendClose() {
      socket.destroy()
    }
    sendReset() {
      socket.destroy()
    }
    sendPause() {
      socket.pause()
    }
    sendResume() {
      socket.resume()
    }
  }
  return new SocketConnection()
}

/**
 * Waits for the 'drain' event, as the documentation of `send` says. `onDrain()` is no way to wait:
 * its promise is made once and stays resolved after the first drain, so a writer that awaits it
 * never leaves the microtask queue and fills the stream's buffer until its time is up.
 */
function drained(stream) {
  return new Promise((resolve) => {
    const over = () => {
      stream.removeEventListener('drain', over)
      stream.removeEventListener('close', over)
      resolve()
    }
    stream.addEventListener('drain', over)
    stream.addEventListener('close', over)
  })
}

/** Likewise. */
class MessageStream {
  #stream

  constructor(stream) {
    this.#stream = stream
  }

  async send(chunk, more) {
    const stream = this.#stream
    while (more()) {
      if (!stream.send(chunk)) await drained(stream)
    }
    await this.end()
  }

  read(onChunk) {
    return new Promise((resolve) => {
      this.#stream.addEventListener('message', ({ data }) => {
        for (const chunk of data instanceof Uint8Array ? [data] : data) onChunk(chunk)
      })
      this.#stream.addEventListener('remoteCloseWrite', () => resolve())
      this.#stream.addEventListener('close', () => resolve())
    })
  }

  write(chunk) {
    return this.#stream.send(chunk)
  }

  end() {
    return this.#stream.close().catch(() => undefined)
  }
}

function overMessages(name, load, options) {
  return {
    name,
    async serve(handle) {
      const { defaultLogger } = await import('@libp2p/logger')
      const factory = (await load())(options)({ logger: defaultLogger() })
      return listen((socket) => {
        socket.pause()
        void toConnection(socket, 'inbound').then((connection) => {
          const muxer = factory.createStreamMuxer(connection)
          muxer.addEventListener('stream', ({ detail }) => handle(new MessageStream(detail)))
          socket.resume()
        })
      })
    },
    async dial(port) {
      const { defaultLogger } = await import('@libp2p/logger')
      const factory = (await load())(options)({ logger: defaultLogger() })
      const socket = await dial(port)
      const muxer = factory.createStreamMuxer(await toConnection(socket, 'outbound'))
      return {
        open: async () => new MessageStream(await muxer.createStream()),
        close() {
          socket.destroy()
          return Promise.resolve()
        },
      }
    },
  }
}

const LIMITS = { maxInboundStreams: 100_000, maxOutboundStreams: 100_000, maxEarlyStreams: 100_000 }
export const yamux = overMessages('@libp2p/yamux 8', async () => (await import('@libp2p/yamux')).yamux, LIMITS)
export const mplex = overMessages('@libp2p/mplex 12', async () => (await import('@libp2p/mplex')).mplex, {
  ...LIMITS,
  disconnectThreshold: Infinity,
})
