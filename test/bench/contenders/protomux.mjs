/**
 * protomux over a framed stream: messages in channels; a stream of the benchmark is a channel with
 * a message for data and one for its end.
 */
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dial, listen } from './loopback.mjs'

const require = createRequire(import.meta.url)

function channelStream(mux, id) {
  const c = require('compact-encoding')
  let onChunk
  const early = []
  let onEnd
  let endedEarly = false
  let opened
  const isOpen = new Promise((resolve) => {
    opened = resolve
  })
  const channel = mux.createChannel({ protocol: 'bench', id, onopen: () => opened() })
  const data = channel.addMessage({
    encoding: c.raw,
    onmessage(bytes) {
      if (onChunk === undefined) early.push(bytes)
      else onChunk(bytes)
    },
  })
  const end = channel.addMessage({
    encoding: c.none,
    onmessage() {
      endedEarly = true
      onEnd?.()
    },
  })
  channel.open()
  const stream = {
    async send(chunk, more) {
      while (more()) {
        if (!data.send(chunk)) await once(mux.stream, 'drain')
      }
      end.send()
    },
    read(take) {
      return new Promise((resolve) => {
        onChunk = take
        for (const bytes of early.splice(0)) take(bytes)
        const over = () => {
          resolve()
          // both ends: the opener closes the channel when the answer has come
          if (stream.opener) channel.close()
        }
        if (endedEarly) over()
        else onEnd = over
      })
    },
    write: (chunk) => data.send(chunk),
    end: () => end.send(),
    opener: false,
    isOpen,
  }
  return stream
}

function framed(socket) {
  const FramedStream = require('framed-stream')
  const stream = new FramedStream(socket)
  stream.on('error', () => undefined) // the round is over
  stream.setMaxListeners(0) // every channel waits for its drain
  return stream
}

export const protomux = {
  name: 'protomux',
  async serve(handle) {
    const Protomux = require('protomux')
    return listen((socket) => {
      const mux = new Protomux(framed(socket))
      mux.pair({ protocol: 'bench' }, (id) => handle(channelStream(mux, id)))
    })
  },
  async dial(port) {
    const Protomux = require('protomux')
    const socket = await dial(port)
    const mux = new Protomux(framed(socket))
    // accepts nothing
    let next = 0
    return {
      async open() {
        const id = Buffer.alloc(4)
        id.writeUInt32BE(next++)
        const stream = channelStream(mux, id)
        stream.opener = true
        await stream.isOpen
        return stream
      },
      close() {
        socket.destroy()
        return Promise.resolve()
      },
    }
  },
}
