/**
 * Bytes for links, and both ways to move them: through `source` and `sink`, and through `direct`.
 */
import type { DirectLink, Link } from '../../src/contracts/types.ts'

/** Numbers from 0 to 2^32-1 that depend on the seed alone (xorshift32). */
export function seeded(seed: number): () => number {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

/** `length` bytes that depend on the seed alone. */
export function seededBytes(seed: number, length: number): Buffer {
  const next = seeded(seed)
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, next)
  return Buffer.from(words.buffer, 0, length)
}

/**
 * `bytes` in chunks of seeded sizes, from one byte to 64 KiB, in one buffer that is overwritten
 * each time.
 */
export async function* reusedChunks(bytes: Uint8Array, seed: number): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(64 * 1024)
  for (const [from, to] of cuts(bytes.byteLength, seed)) {
    const chunk = buffer.subarray(0, to - from)
    chunk.set(bytes.subarray(from, to))
    yield chunk
    buffer.fill(0xee)
  }
}

/** Where to cut `length` bytes; small, middle and large pieces are equally likely. */
export function cuts(length: number, seed: number): [from: number, to: number][] {
  const next = seeded(seed)
  const pieces: [number, number][] = []
  for (let from = 0; from < length;) {
    const size = 1 + (next() % [64 * 1024, 64 * 1024, 4 * 1024, 256][next() % 4]!)
    const to = Math.min(length, from + size)
    pieces.push([from, to])
    from = to
  }
  return pieces
}

/** Everything that a link gives until its end. */
export async function readAll(link: Link): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of link.source) chunks.push(chunk instanceof Uint8Array ? chunk : chunk.subarray())
  return Buffer.concat(chunks)
}

/** The next `length` bytes of a link (or more, to the end of a chunk), which is read no further. */
export async function readBytes(link: Link, length: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let read = 0
  for await (const chunk of link.source) {
    chunks.push(chunk instanceof Uint8Array ? chunk : chunk.subarray())
    read += chunk.byteLength
    if (read >= length) break
  }
  return Buffer.concat(chunks)
}

/** A link's `direct` face as promises. */
export interface DirectEnd {
  /** What arrived. */
  readonly received: Uint8Array[]
  /** Resolves at the peer's end, rejects when the line fails. */
  readonly ended: Promise<void>
  /**
   * Resolves when `length` bytes have arrived, rejects when the line fails before. For lines that
   * have no ends.
   */
  arrived(length: number): Promise<void>
  /**
   * Writes `bytes` in batches of one to five chunks, each overwritten as soon as it is free; then
   * ends.
   */
  write(bytes: Uint8Array, seed: number): Promise<void>
  /** How often `write` returned false. */
  readonly waits: number
}

/** Starts `direct`. */
export function directEnd(direct: DirectLink): DirectEnd {
  const received: Uint8Array[] = []
  let onDrain: (() => void) | undefined
  let waits = 0
  let length = 0
  const awaited: { length: number; resolve: () => void }[] = []
  let settle: { resolve: () => void; reject: (error: Error) => void } | undefined
  const ended = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  ended.catch(() => undefined) // who is interested awaits it
  direct.start({
    data(chunk) {
      received.push(chunk)
      length += chunk.byteLength
      for (const arrival of awaited) if (length >= arrival.length) arrival.resolve()
    },
    end: () => settle?.resolve(),
    fail: (error) => settle?.reject(error),
    drain() {
      if (onDrain === undefined) settle?.reject(new Error('drain was called without a write that returned false'))
      onDrain?.()
    },
  })
  return {
    received,
    ended,
    arrived(wanted) {
      const arriving = new Promise<void>((resolve) => awaited.push({ length: wanted, resolve }))
      for (const arrival of awaited) if (length >= arrival.length) arrival.resolve()
      return Promise.race([arriving, ended])
    },
    get waits() {
      return waits
    },
    async write(bytes, seed) {
      const pieces = cuts(bytes.byteLength, seed)
      while (pieces.length > 0) {
        const batch = pieces
          .splice(0, 1 + (pieces.length % 5))
          .map(([from, to]) => Uint8Array.from(bytes.subarray(from, to)))
        const drained = new Promise<void>((resolve) => {
          onDrain = resolve
        })
        if (!direct.write(batch)) {
          waits++
          await Promise.race([drained, ended.then(() => drained)])
        }
        onDrain = undefined
        for (const chunk of batch) chunk.fill(0xee)
      }
      direct.end()
    },
  }
}
