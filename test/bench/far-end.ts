/**
 * The server's side of a measurement, in this process or in a child. Each stream says with its
 * first byte what is to be done with it: read to its end, or written back; the end is answered with
 * an end. And it keeps the books: who got how much, what it cost.
 */
import type { BenchServer, BenchStream, Contender } from './contender.ts'
import type { Remote } from './remote.ts'

/** First byte of a stream that is written back. */
export const ECHO = 1

/** What the streams have seen since the last look. */
export interface Books {
  /** Streams that have come. */
  readonly streams: number
  /**
   * Bytes that each stream's reader got; a stream that has ended stands here once more, and then
   * never again.
   */
  readonly bytes: readonly number[]
  /** What this side's process has used; 0 where it is the client's as well. */
  readonly cpuMicros: number
}

export interface FarEnd {
  readonly port: number
  /** The books since the last call. */
  take(): Promise<Books>
  /** Memory in use after a collection: the heap, and what lies outside of it. */
  memory(): Promise<number>
  close(): Promise<void>
}

/**
 * What the server does with its streams: `answer`, see above, or `hold`: nothing, it never reads.
 */
export type Behaviour = 'answer' | 'hold'

const CALL_MS = 60_000

/** In this process. */
export async function nearbyEnd(contender: Contender, behaviour: Behaviour): Promise<FarEnd> {
  const held = new Promise<void>(() => undefined)
  let streams = 0
  let entries: { bytes: number; ended: boolean }[] = []
  const answer = async (stream: BenchStream, entry: { bytes: number; ended: boolean }): Promise<void> => {
    let echo: boolean | undefined
    try {
      await stream.read((chunk) => {
        entry.bytes += chunk.byteLength
        echo ??= chunk[0] === ECHO
        if (echo) void stream.write(chunk)
      })
      entry.ended = true
      stream.end()
    } catch {
      // the connection was cut: the round is over
    }
  }
  const server: BenchServer = await contender.serve((stream) => {
    streams++
    // what is held is the contender's alone: an entry would be counted among its memory
    if (behaviour === 'hold') return held
    const entry = { bytes: 0, ended: false }
    entries.push(entry)
    return answer(stream, entry)
  })
  return {
    port: server.port,
    take() {
      const bytes = entries.map((entry) => entry.bytes)
      entries = entries.filter(({ ended }) => !ended)
      for (const entry of entries) entry.bytes = 0
      const come = streams
      streams = 0
      return Promise.resolve({ streams: come, bytes, cpuMicros: 0 })
    },
    memory: () => memoryInUse(),
    close: () => server.close(),
  }
}

/** In the child behind `remote`, which runs child.ts for the same contender. */
export async function distantEnd(remote: Remote, behaviour: Behaviour): Promise<FarEnd> {
  const port = (await remote.call('serve', behaviour, CALL_MS)) as number
  return {
    port,
    take: async () => (await remote.call('take', undefined, CALL_MS)) as Books,
    memory: async () => (await remote.call('memory', undefined, CALL_MS)) as number,
    async close() {
      await remote.call('close', undefined, CALL_MS)
    },
  }
}

/** Heap and outside memory (buffers among it) that survive a collection. */
export async function memoryInUse(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('start this process with --expose-gc')
  // finalizers and what they let go of need turns of the event loop between the collections
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
