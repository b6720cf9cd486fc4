/**
 * A directory tree of the peer as entries, each directory before what is in it. One listing is open
 * at a time, however deep the tree is: one per level would hold the turns that the copies of the
 * files wait for. What is kept is a few words per directory that is yet to be looked into. The
 * client has checked the names already; they are checked once more here, since what comes out of
 * this file is joined to local paths.
 */
import { TrunkError } from '../../../src/contracts/errors.ts'
import { HERE, isPlainName, joinPath, wirePath } from '../../../src/runtime/byte-path.ts'
import { fromBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import type { FilesystemClient } from '../client-types.ts'
import type { TreeEntry } from './copy-tree.ts'
import { intoItself, NO_TARGET, type IsTarget } from './into-itself.ts'

/** An entry of the peer's tree, with what its listing said. */
export interface RemoteEntry extends TreeEntry {
  readonly size: number
  readonly mode: number
  readonly modifiedMs: number
}

/**
 * Every entry below `root`, which itself is not among them. Throws where the root cannot be listed;
 * that a directory below it cannot be is its own affair: it comes once more, with the error, and
 * the rest goes on. What is copied to comes with an error, without what is in it.
 */
export async function* walkRemote(
  files: FilesystemClient,
  root: ByteString,
  signal: AbortSignal,
  isTarget: IsTarget = NO_TARGET,
): AsyncGenerator<RemoteEntry, void, undefined> {
  const folders: RemoteEntry[] = []
  async function* list(relative: ByteString): AsyncGenerator<RemoteEntry, void, undefined> {
    for await (const entry of entriesOf(files, root, relative, signal)) {
      if (entry.type === 'directory') {
        if (await isTarget(entry.relative)) {
          yield intoItself(entry)
          continue
        }
        folders.push(entry)
      }
      yield entry
    }
  }
  yield* list(HERE)
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      yield* list(folder.relative)
    } catch (error) {
      yield { ...folder, error }
    }
  }
}

async function* entriesOf(
  files: FilesystemClient,
  root: ByteString,
  relative: ByteString,
  signal: AbortSignal,
): AsyncGenerator<RemoteEntry, void, undefined> {
  for await (const { nameBytes, type, size, mode, modifiedMs } of files.list(wirePath(joinPath(root, relative)), {
    signal,
  })) {
    const name = fromBytes(nameBytes)
    if (!isPlainName(name)) throw new TrunkError('ERR_NAME_INVALID', 'the peer sent a name that is none')
    yield { relative: joinPath(relative, name), type, size, mode, modifiedMs }
  }
}
