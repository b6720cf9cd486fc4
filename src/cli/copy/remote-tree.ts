/**
 * A directory tree of the peer as entries, each directory before what is in it. Streams: one open listing per level, and the
 * protocol bounds the levels. The client has checked the names already; they are checked once more here, since what comes out of
 * this file is joined to local paths.
 */
import { TrunkError } from '../../errors.ts'
import { fromBytes } from '../byte-string.ts'
import type { Files } from '../files.ts'
import { isPlainName, joinPath, wirePath } from '../remote-path.ts'
import type { TreeEntry } from './copy-tree.ts'

/** An entry of the peer's tree, with what its listing said. */
export interface RemoteEntry extends TreeEntry {
  readonly size: number
  readonly mode: number
  readonly modifiedMs: number
}

type Listing = AsyncIterator<Omit<RemoteEntry, 'relative'> & { readonly nameBytes: Uint8Array }>

interface Level {
  readonly relative: string
  readonly entries: Listing
}

/** Every entry below `root`, which itself is not among them. Throws where the root cannot be listed. */
export async function* walkRemote(
  files: Files,
  root: string,
  signal: AbortSignal,
): AsyncGenerator<RemoteEntry, void, undefined> {
  const open = (relative: string): Level => {
    const listing = files.list(wirePath(joinPath(root, relative)), { signal })
    return { relative, entries: listing[Symbol.asyncIterator]() }
  }
  const levels: Level[] = [open('')]
  const parents: RemoteEntry[] = []
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const next = await step(level, parents.at(-1))
      if ('ended' in next) {
        levels.pop()
        const parent = parents.pop()
        if (next.error !== undefined && parent !== undefined) yield { ...parent, error: next.error }
        continue
      }
      yield next.entry
      if (next.entry.type !== 'directory') continue
      parents.push(next.entry)
      levels.push(open(next.entry.relative))
    }
  } finally {
    for (const level of levels) await level.entries.return?.()
  }
}

type Step = { readonly entry: RemoteEntry } | { readonly ended: true; readonly error?: unknown }

/** The next entry of a level. That a directory below the root cannot be listed is its own affair; the rest goes on. */
async function step(level: Level, parent: RemoteEntry | undefined): Promise<Step> {
  try {
    const next = await level.entries.next()
    if (next.done === true) return { ended: true }
    const { nameBytes, type, size, mode, modifiedMs } = next.value
    const name = fromBytes(nameBytes)
    if (!isPlainName(name)) throw new TrunkError('ERR_NAME_INVALID', 'the peer sent a name that is none')
    return { entry: { relative: joinPath(level.relative, name), type, size, mode, modifiedMs } }
  } catch (error) {
    if (parent === undefined) throw error
    return { ended: true, error }
  }
}
