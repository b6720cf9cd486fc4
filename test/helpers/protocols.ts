/**
 * Small protocols for tests of trunks, and what their clients need: bytes that can be checked, and
 * readers.
 */
import { defineProtocol, type Bytes, type Pipe, type PipeRequest, type Protocol } from '../../src/index.ts'

/** A protocol that takes any parameters. */
export function protocol(name: string, handle: (request: PipeRequest) => Promise<void>): Protocol {
  return defineProtocol({ name, parse: (params) => params, handle })
}

/** Sends back what comes, then ends. */
export const echo: Protocol = protocol('echo', async ({ accept }) => {
  const pipe = accept()
  await pipe.sink(pipe.source)
})

/** Reads to the end and replies with the number of bytes, as text. */
export const count: Protocol = protocol('count', async ({ accept }) => {
  const pipe = accept()
  let bytes = 0
  for await (const chunk of pipe.source) bytes += chunk.byteLength
  await pipe.write(Buffer.from(String(bytes)))
})

/** Writes `params` bytes of {@link pattern}, then ends. */
export const produce: Protocol = protocol('produce', async ({ params, accept }) => {
  const pipe = accept()
  await pipe.sink(patternChunks(params as number, 60_000))
})

/** Accepts and leaves everything to the test, until `finish` is called. */
export function manual(name = 'manual'): {
  readonly protocol: Protocol
  /** The next request that was accepted, its pipe, and what ends its handler. */
  next(): Promise<Taken>
} {
  const taken: Taken[] = []
  const waiting: ((one: Taken) => void)[] = []
  return {
    protocol: protocol(name, async (request) => {
      await new Promise<void>((resolve, reject) => {
        const one = { request, pipe: request.accept(), finish: resolve, fail: reject }
        const resolver = waiting.shift()
        if (resolver === undefined) taken.push(one)
        else resolver(one)
      })
    }),
    next: async () => taken.shift() ?? (await new Promise((resolve) => waiting.push(resolve))),
  }
}

/** A pipe that {@link manual} accepted. */
export interface Taken {
  readonly request: PipeRequest
  readonly pipe: Pipe
  /** Lets the handler return. */
  finish(): void
  /** Lets the handler throw. */
  fail(error: Error): void
}

/**
 * The byte at `offset` of a pattern whose period (251) is no power of two, so that a shifted or
 * doubled piece shows.
 */
export function pattern(length: number, from = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (from + i) % 251
  return bytes
}

/** `total` bytes of {@link pattern} in chunks of `chunkBytes`. */
export function* patternChunks(total: number, chunkBytes: number): Generator<Buffer, void, undefined> {
  for (let at = 0; at < total; at += chunkBytes) yield pattern(Math.min(chunkBytes, total - at), at)
}

/** Everything of `source` in one piece. */
export async function collect(source: AsyncIterable<Bytes>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(chunk.subarray())
  return Buffer.concat(chunks)
}

/** Reads to the end and checks each byte against {@link pattern}; gives their number. */
export async function checkPattern(source: AsyncIterable<Bytes>): Promise<number> {
  let at = 0
  for await (const chunk of source) {
    if (!pattern(chunk.byteLength, at).equals(chunk.subarray())) {
      throw new Error(`wrong bytes between ${at} and ${at + chunk.byteLength}`)
    }
    at += chunk.byteLength
  }
  return at
}

/** What settles a promise, in a word: for tables of outcomes. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'resolved',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )
}
