/**
 * Finds out how much there is to copy while the copy already runs; only where somebody looks at the
 * progress.
 */
import { lstat } from 'node:fs/promises'
import { toBytes } from '../byte-string.ts'
import type { ByteString } from '../byte-string.ts'
import { joinPath } from '../remote-path.ts'
import type { Progress } from '../progress.ts'
import type { CopyJob } from './job.ts'
import { walkLocal } from './local-tree.ts'
import { walkRemote } from './remote-tree.ts'

/** Sizes of the files below the local directory `root`. */
export async function* localSizes(root: ByteString): AsyncGenerator<number, void, undefined> {
  for await (const { relative, type } of walkLocal(root)) {
    if (type === 'file') yield (await lstat(toBytes(joinPath(root, relative)))).size
  }
}

/** Sizes of the files below the peer's directory `root`. */
export async function* remoteSizes(job: CopyJob, root: ByteString): AsyncGenerator<number, void, undefined> {
  for await (const { type, size } of walkRemote(job.files, root, job.context.signal)) if (type === 'file') yield size
}

/** Runs `copy` with the sum of `sizes` being taken beside it. */
export async function scan(progress: Progress, sizes: AsyncIterable<number>, copy: () => Promise<void>): Promise<void> {
  let over = false
  const add = async (): Promise<void> => {
    for await (const size of sizes) {
      if (over) return
      progress.expect(size)
    }
    progress.complete()
  }
  // What cannot be looked at will be reported by the copy itself; the bar then tells no time.
  const scanning = progress.visible ? add().catch(() => undefined) : undefined
  try {
    await copy()
  } finally {
    over = true
    await scanning
  }
}
