/**
 * The contenders whose streams are Node's: http2 (default and tuned windows), ssh2, bpmux,
 * multiplex and spdy-transport. Plain JavaScript, so that the project's type check needs none of
 * their packages.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import { createRequire } from 'node:module'
import { socketStream } from '../build/contenders/bare.js'
import { dial, listen } from './loopback.mjs'

const require = createRequire(import.meta.url)

const HALF_OPEN = { allowHalfOpen: true }

const quiet = (stream) => {
  stream.on('error', () => undefined) // the round is over
  return socketStream(stream)
}

/** Memory in MB that a session may use; with the default of 10 it ends thousands of streams. */
const HTTP2_LIMITS = { peerMaxConcurrentStreams: 100_000, maxSessionMemory: 10_000 }

function overHttp2(name, settings, windowBytes) {
  return {
    name,
    async serve(handle) {
      const server = http2.createServer({ ...HTTP2_LIMITS, settings })
      server.on('session', (session) => {
        session.on('error', () => undefined)
        if (windowBytes !== undefined) session.setLocalWindowSize(windowBytes)
      })
      server.on('stream', (stream) => {
        stream.respond({ ':status': 200 })
        handle(quiet(stream))
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return { port: server.address().port, close: () => new Promise((resolve) => server.close(resolve)) }
    },
    async dial(port) {
      const session = http2.connect(`http://127.0.0.1:${port}`, { ...HTTP2_LIMITS, settings })
      session.on('error', () => undefined)
      await once(session, 'connect')
      if (windowBytes !== undefined) session.setLocalWindowSize(windowBytes)
      return {
        open: () => Promise.resolve(quiet(session.request({ ':method': 'POST', ':path': '/' }, { endStream: false }))),
        close() {
          session.destroy()
          return Promise.resolve()
        },
      }
    },
  }
}

const MAX_STREAMS = { maxConcurrentStreams: 100_000 }
export const http2Default = overHttp2('http2', MAX_STREAMS, undefined)
export const http2Tuned = overHttp2(
  'http2, tuned windows',
  { ...MAX_STREAMS, initialWindowSize: 16 * 1024 * 1024, maxFrameSize: 65_536 },
  64 * 1024 * 1024,
)

export const ssh2 = {
  name: 'ssh2',
  async serve(handle) {
    const { Server } = require('ssh2')
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
      publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
    })
    const clients = new Set()
    const server = new Server({ hostKeys: [privateKey] }, (client) => {
      clients.add(client)
      client.on('error', () => undefined)
      client.on('authentication', (context) => context.accept())
      client.on('ready', () => {
        client.on('tcpip', (accept) => handle(quiet(accept())))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      port: server.address().port,
      close: () =>
        new Promise((resolve) => {
          for (const client of clients) client.end()
          server.close(resolve)
        }),
    }
  },
  async dial(port) {
    const { Client } = require('ssh2')
    const client = new Client()
    client.on('error', () => undefined)
    client.connect({ host: '127.0.0.1', port, username: 'bench', password: randomBytes(8).toString('hex') })
    await once(client, 'ready')
    client.setNoDelay(true)
    return {
      open: () =>
        new Promise((resolve, reject) => {
          client.forwardOut('127.0.0.1', 1, '127.0.0.1', 2, (error, stream) => {
            if (error) reject(error)
            else resolve(quiet(stream))
          })
        }),
      close() {
        client.end()
        return once(client, 'close')
      },
    }
  },
}

export const bpmux = {
  name: 'bpmux',
  async serve(handle) {
    const { BPMux } = require('bpmux')
    return listen((socket) => {
      const mux = new BPMux(socket, { max_open: 100_000 })
      mux.on('error', () => undefined)
      mux.on('handshake', (duplex) => handle(quiet(duplex)))
    }, HALF_OPEN)
  },
  async dial(port) {
    const { BPMux } = require('bpmux')
    const socket = await dial(port, HALF_OPEN)
    const mux = new BPMux(socket, { max_open: 100_000 })
    mux.on('error', () => undefined)
    return {
      open: () => Promise.resolve(quiet(mux.multiplex())),
      close() {
        socket.destroy()
        return Promise.resolve()
      },
    }
  },
}

export const multiplex = {
  name: 'multiplex',
  async serve(handle) {
    const make = require('multiplex')
    return listen((socket) => {
      const mux = make({ halfOpen: true }, (stream) => handle(quiet(stream)))
      mux.on('error', () => undefined)
      socket.pipe(mux).pipe(socket)
    }, HALF_OPEN)
  },
  async dial(port) {
    const make = require('multiplex')
    const socket = await dial(port, HALF_OPEN)
    const mux = make({ halfOpen: true })
    mux.on('error', () => undefined)
    socket.pipe(mux).pipe(socket)
    return {
      open: () => Promise.resolve(quiet(mux.createStream())),
      close() {
        socket.destroy()
        return Promise.resolve()
      },
    }
  },
}

export const spdy = {
  name: 'spdy-transport',
  async serve(handle) {
    const transport = require('spdy-transport')
    return listen((socket) => {
      const connection = transport.connection.create(socket, { protocol: 'spdy', isServer: true, maxStreams: 100_000 })
      connection.start(3.1)
      connection.on('error', () => undefined)
      connection.on('stream', (stream) => {
        stream.respond(200, {})
        handle(quiet(stream))
      })
    }, HALF_OPEN)
  },
  async dial(port) {
    const transport = require('spdy-transport')
    const socket = await dial(port, HALF_OPEN)
    const connection = transport.connection.create(socket, { protocol: 'spdy', isServer: false, maxStreams: 100_000 })
    connection.start(3.1)
    connection.on('error', () => undefined)
    return {
      open: () =>
        new Promise((resolve, reject) => {
          connection.request({ method: 'POST', path: '/', headers: {} }, (error, stream) => {
            if (error) reject(error)
            else resolve(quiet(stream))
          })
        }),
      close() {
        socket.destroy()
        return Promise.resolve()
      },
    }
  },
}
