/**
 * Streams of which every byte follows from a key and the offset: a byte of another session shows at
 * once.
 */
import assert from 'node:assert/strict'
import type { Protocol } from '../../src/index.ts'
import { protocol } from './protocols.ts'

const CHUNK_BYTES = 4096

/** The byte at `offset` of the stream with this key. */
function byteAt(key: number, offset: number): number {
  return (Math.imul(offset + 1, 0x9e3779b1) ^ Math.imul(key, 0x85ebca6b)) >>> 24
}

/** So many bytes of the stream with this key. */
export function keyedBytes(key: number, offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => byteAt(key, offset + index))
}

function* chunks(key: number, bytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, bytes - at)
    yield keyedBytes(key, at, length)
  }
}

/** Serves them: `{ key, bytes }`. */
export const keyed: Protocol = protocol('keyed', async ({ params, accept }) => {
  const { key, bytes } = params as { key: number; bytes: number }
  await accept().sink(chunks(key, bytes))
})

/**
 * Checks what is read against the key; throws at the first wrong byte. `bytes` is what it has seen.
 */
export function keyedReader(key: number): ((chunk: Uint8Array) => void) & { readonly bytes: number } {
  let offset = 0
  const read = (chunk: Uint8Array): void => {
    for (const byte of chunk) {
      if (byte !== byteAt(key, offset)) assert.fail(`byte ${offset} is not of the stream with key ${key}`)
      offset++
    }
  }
  return Object.defineProperty(read, 'bytes', { get: () => offset }) as typeof read & { readonly bytes: number }
}
