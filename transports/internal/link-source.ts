/**
 * The `source` of a link: pulls one chunk after the other, so that a reader that does not read
 * stops the line. Promises: ends only where the peer ended, throws the link's failure otherwise.
 * Holds nothing itself.
 */
import type { TrunkError } from '../../src/contracts/errors.ts'

/** Where {@link readFrom} gets its chunks. */
export interface ChunkFeed {
  /** The chunk that arrived, if there is one; it is the caller's from now on. */
  take(): Uint8Array | undefined
  /** Whether more can come: a failure where none can. */
  state(): 'open' | 'ended' | TrunkError
  /** Resolves when `take` or `state` has something new. */
  more(): Promise<void>
}

/** The chunks of `feed`, once. Breaking off stops reading and leaves the link to its owner. */
export async function* readFrom(feed: ChunkFeed): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const chunk = feed.take()
    if (chunk !== undefined) {
      yield chunk
      continue
    }
    const state = feed.state()
    if (state === 'ended') return
    if (state !== 'open') throw state
    await feed.more()
  }
}
