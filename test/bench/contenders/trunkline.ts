/**
 * trunkline through its public interface: pipes written by `write`, read with `for await`. Who
 * reads `borrowed` is done with each item before it asks for the next, as everybody here is; who
 * reads `source` may keep what was read, as far as trunkline knows.
 */
import { connect, defineProtocol, serve, type Pipe } from 'trunkline'
import type { BenchStream, Contender } from '../contender.ts'

export const trunkline: Contender = contender('trunkline', 'borrowed')
export const trunklineKept: Contender = contender('trunkline, kept', 'source')

function contender(name: string, face: 'borrowed' | 'source'): Contender {
  return {
    name,
    async serve(handle) {
      const protocol = defineProtocol({
        name: 'bench',
        parse: () => undefined,
        handle: ({ accept }) => handle(new PipeStream(accept(), face)),
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
          return new PipeStream(await trunk.open('bench'), face)
        },
        async close() {
          trunk.abort(new Error('the round is over'))
          await trunk.closed.catch(() => undefined)
        },
      }
    },
  }
}

/** A class, so that it adds next to nothing to the memory of what it wraps. */
class PipeStream implements BenchStream {
  readonly #pipe: Pipe
  readonly #face: 'borrowed' | 'source'

  constructor(pipe: Pipe, face: 'borrowed' | 'source') {
    this.#pipe = pipe
    this.#face = face
  }

  async send(chunk: Uint8Array, more: () => boolean): Promise<void> {
    const pipe = this.#pipe
    while (more()) {
      const written = pipe.write(chunk)
      if (pipe.writableLength === 0) await written
    }
    await pipe.closeWrite()
  }

  async read(onChunk: (bytes: Uint8Array) => void): Promise<void> {
    for await (const list of this.#pipe[this.#face]) for (const chunk of list) onChunk(chunk)
  }

  write(chunk: Uint8Array): void {
    // small, so it is copied; where the connection was cut the round is over
    void this.#pipe.write(chunk)
  }

  end(): void {
    void this.#pipe.closeWrite()
  }
}
