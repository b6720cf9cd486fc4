/**
 * What a stream of Node's has read and nobody has taken. A paused one reads on until its buffer is
 * full, and drops that when a read fails.
 */
import type { Readable } from 'node:stream'

/** Takes it out, in order; works where the stream has failed, too (Node 20 to 26). */
export function takeUnread(stream: Readable): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let chunk; (chunk = stream.read() as Uint8Array | null) !== null;) chunks.push(chunk)
  return chunks
}
