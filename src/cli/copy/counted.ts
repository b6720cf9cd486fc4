/**
 * What a copy that the command line makes by itself, or the library makes for it, tells the
 * progress bar.
 */
import type { CopyProgress } from '../../../protocols/filesystem.ts'
import type { Progress } from '../progress.ts'

/** `chunks` as they are, counted. */
export async function* counted<T extends { readonly byteLength: number }>(
  progress: Progress,
  chunks: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  for await (const chunk of chunks) {
    const { byteLength } = chunk
    yield chunk
    progress.add(byteLength)
  }
}

/** The options of a copy whose progress is shown. */
export function shownBy(progress: Progress): {
  readonly measure: boolean
  readonly onProgress: (now: CopyProgress) => void
} {
  let last = { bytes: 0, totalBytes: 0, isTotalKnown: false }
  return {
    measure: progress.visible,
    onProgress(now) {
      if (now.totalBytes !== last.totalBytes) progress.expect(now.totalBytes - last.totalBytes)
      if (now.isTotalKnown && !last.isTotalKnown) progress.complete()
      if (now.bytes !== last.bytes) progress.add(now.bytes - last.bytes)
      last = now
    },
  }
}
