/**
 * A link whose incoming bytes stop after a given number of them, as if the line had been cut there.
 */
import { TrunkError, type Bytes, type Link } from '../../src/index.ts'

/** The link, and how much has come in over it so far. */
export interface CutLink {
  readonly link: Link
  received(): number
}

/**
 * Lets as many bytes in as `allowed` says, which is asked at each chunk, and fails then. Infinity
 * never does.
 */
export function cutAfter(link: Link, allowed: () => number): CutLink {
  let received = 0
  const lost = (): TrunkError => new TrunkError('ERR_LINK_LOST', `the line was cut after ${received} bytes`)
  async function* source(): AsyncGenerator<Bytes> {
    for await (const chunk of link.source) {
      const room = Math.max(0, allowed() - received)
      if (chunk.byteLength <= room) {
        received += chunk.byteLength
        yield chunk
        continue
      }
      received += room
      if (room > 0) yield chunk.subarray(0, room)
      throw lost()
    }
  }
  return {
    link: {
      source: source(),
      sink: (chunks) => link.sink(chunks),
      close: () => link.close(),
      abort: (reason) => link.abort(reason),
    },
    received: () => received,
  }
}
