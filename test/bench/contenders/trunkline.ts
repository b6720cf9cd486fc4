/** trunkline through its public face: pipes written by `write`, read with `for await`. */
import { connect, defineProtocol, serve, type Pipe } from 'trunkline'
import type { BenchStream, Contender } from '../contender.ts'

export const trunkline: Contender = {
  name: 'trunkline',
  async serve(handle) {
    const protocol = defineProtocol({
      name: 'bench',
      parse: () => undefined,
      async handle({ accept }) {
        const pipe = accept()
        const { stream, over } = pipeStream(pipe)
        handle(stream)
        await over
      },
    })
    const server = await serve('tcp://127.0.0.1:0', {
      protocols: [protocol],
      limits: { maxPipes: 100_000, maxWaitingPipes: 100_000 },
    })
    return { port: Number(new URL(server.address).port), close: () => server.close() }
  },
  async dial(port) {
    const trunk = await connect(`tcp://127.0.0.1:${port}`)
    return {
      async open() {
        return pipeStream(await trunk.open('bench')).stream
      },
      async close() {
        trunk.abort(new Error('the round is over'))
        await trunk.closed.catch(() => undefined)
      },
    }
  },
}

/** `over` settles when both directions have ended. */
function pipeStream(pipe: Pipe): { stream: BenchStream; over: Promise<void> } {
  let written!: () => void
  const writeEnd = new Promise<void>((resolve) => {
    written = resolve
  })
  let read!: () => void
  const readEnd = new Promise<void>((resolve) => {
    read = resolve
  })
  const end = async (): Promise<void> => {
    await pipe.closeWrite()
    written()
  }
  const stream: BenchStream = {
    async send(chunk, count) {
      for (let i = 0; i < count; i++) await pipe.write(chunk)
      await end()
    },
    async read(onChunk) {
      try {
        for await (const list of pipe.source) for (const chunk of list) onChunk(chunk)
      } finally {
        read()
      }
    },
    write: (chunk) => {
      pipe.write(chunk).catch(() => undefined) // the connection was cut: the round is over
    },
    end: () => end().catch(() => undefined),
  }
  return { stream, over: Promise.all([writeEnd, readEnd]).then(() => undefined) }
}
