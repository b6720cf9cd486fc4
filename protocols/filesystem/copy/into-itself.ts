/**
 * A target that is below its own source, where both ends share the tree: copied as it stands, it
 * would be copied into itself, level by level. Neither end can tell by names or numbers of its own,
 * so a file of a fresh name is put into the target, and looked for through the source at each
 * directory that is called as the target is. It is put there when the first such directory is met,
 * and removed when the walk is over; a target that takes no such file takes no copy either.
 */
import { lstatSync, realpathSync } from 'node:fs'
import { unlink, writeFile } from 'node:fs/promises'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { raced, tidied } from '../../../src/runtime/abandon.ts'
import { isName, joinPath, lastPart, wirePath } from '../../../src/runtime/byte-path.ts'
import { byteString, fromBytes, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { freshName } from '../../../src/runtime/fresh-bytes.ts'
import type { FilesystemClient } from '../client-types.ts'
import type { TreeEntry } from './copy-tree.ts'
import type { CopyJob } from './job.ts'

/** Both ends of a copy, as far as this needs them. */
interface Ends {
  /** The target's name; undefined where it is not known. */
  readonly targetName: () => ByteString | undefined
  readonly put: (name: ByteString) => Promise<void>
  readonly take: (name: ByteString) => Promise<void>
  /** True where the source has the file in the directory `relative`. */
  readonly has: (relative: ByteString, name: ByteString) => Promise<boolean>
}

/** Says of a directory of the source that it is what is copied to. */
export type IsTarget = (relative: ByteString) => Promise<boolean>

/** For a walk that nothing is copied to. */
export const NO_TARGET: IsTarget = () => Promise.resolve(false)

/**
 * The entry of a directory that is what is copied to: it is reported, and nothing in it is copied.
 */
export function intoItself<E extends TreeEntry>(entry: E): E {
  const error = new TrunkError('ERR_PATH_INVALID', 'it is what is copied to, which is not copied into itself')
  return { ...entry, error }
}

/** The entries that `walk` gives when it can tell the peer's directory `target`. */
export function outOfRemote<E>(
  job: CopyJob,
  source: ByteString,
  target: ByteString,
  walk: (isTarget: IsTarget) => AsyncIterable<E>,
): AsyncGenerator<E, void, undefined> {
  return without(walk, {
    ...probedAt(job, job.files, target),
    has: (relative, name) =>
      Promise.resolve(
        lstatSync(toBytes(joinPath(joinPath(source, relative), name)), { throwIfNoEntry: false }) !== undefined,
      ),
  })
}

/** The entries that `walk` gives when it can tell the directory `target` of another peer. */
export function outOfPeer<E>(
  job: CopyJob,
  source: ByteString,
  targetFiles: FilesystemClient,
  target: ByteString,
  walk: (isTarget: IsTarget) => AsyncIterable<E>,
): AsyncGenerator<E, void, undefined> {
  return without(walk, { ...probedAt(job, targetFiles, target), has: hasRemote(job, source) })
}

/** A target of the peer of `files`. */
function probedAt(job: CopyJob, files: FilesystemClient, target: ByteString): Omit<Ends, 'has'> {
  const { signal } = job
  const inTarget = (name: ByteString): string | Uint8Array => wirePath(joinPath(target, name))
  return {
    targetName: () => (isName(lastPart(target)) ? lastPart(target) : undefined),
    async put(name) {
      await files.write(inTarget(name), new Uint8Array(0), {
        exclusive: true,
        durable: false,
        mode: 0o600,
        signal,
      })
    },
    async take(name) {
      // also after an interrupt
      await tidied(job, files.remove(inTarget(name)))
    },
  }
}

/** A source of the peer. */
function hasRemote({ files, signal }: CopyJob, source: ByteString): Ends['has'] {
  return async (relative, name) => {
    await files.stat(wirePath(joinPath(joinPath(source, relative), name)), { signal })
    return true
  }
}

/** The entries that `walk` gives when it can tell the local directory `target`. */
export function outOfLocal<E>(
  job: CopyJob,
  source: ByteString,
  target: ByteString,
  walk: (isTarget: IsTarget) => AsyncIterable<E>,
): AsyncGenerator<E, void, undefined> {
  const inTarget = (name: ByteString): Buffer => toBytes(joinPath(target, name))
  return without(walk, {
    targetName: () => lastPart(fromBytes(realpathSync.native(toBytes(target), 'buffer'))),
    put: (name) => raced(job, writeFile(inTarget(name), '', { flag: 'wx', mode: 0o600 }), () => unlink(inTarget(name))),
    take: (name) => tidied(job, unlink(inTarget(name))),
    has: hasRemote(job, source),
  })
}

async function* without<E>(
  walk: (isTarget: IsTarget) => AsyncIterable<E>,
  { targetName, put, take, has }: Ends,
): AsyncGenerator<E, void, undefined> {
  const probe = byteString(`.trunkline-${freshName()}.probe`)
  let state: 'none' | 'there' | 'unsure' = 'none'
  let name: ByteString | undefined
  try {
    yield* walk(async (relative) => {
      try {
        name ??= targetName()
        if (name !== undefined && lastPart(relative) !== name) return false
        if (state === 'none') {
          state = 'unsure'
          await put(probe)
          state = 'there'
        }
        return state === 'there' && (await has(relative, probe))
      } catch {
        // it is not there, or cannot be told: whatever is wrong here is said of the copy itself
        return false
      }
    })
  } finally {
    const left = state as string
    if (left === 'there') await take(probe)
    // refused, or interrupted and made all the same
    if (left === 'unsure') await take(probe).catch(() => undefined)
  }
}
