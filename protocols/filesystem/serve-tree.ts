/**
 * Changing the tree: mkdir, rename, remove, attributes. Each acts on names in directories that were really reached. Removing
 * removes a link itself, never what it points to; renaming and attributes are for regular files and directories only.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  unlink,
  unlinkSync,
  type Dir,
  type Stats,
} from 'node:fs'
import { TrunkError } from '../../src/errors.ts'
import { errnoOf, toFailure } from './failures.ts'
import type { RequestOf } from './messages.ts'
import { MAX_PATH_DEPTH, requirePath } from './path.ts'
import { requirePlain, stepInto, type Folder } from './root.ts'
import { nameOf, openDirectory } from './serve-list.ts'
import { PERMISSION_BITS, requireOneName } from './serve-write.ts'
import { keepTimes } from './times.ts'
import type { Operation, Serving } from './serving.ts'

/** Entries of one directory that are removed at a time. */
const REMOVE_BATCH = 64
/** A file up to this size is unlinked at once: the kernel gives its blocks back in microseconds. A large one takes a thread. */
const QUICK_REMOVE_BYTES = 4 * 1024 * 1024

/** Answers `mkdir`. */
export function serveMkdir({ message, request, serving }: Operation<'mkdir'>): void {
  const names = requirePath(message.path)
  if (names.length === 0) {
    if (!message.recursive) throw exists()
  } else if (message.recursive) makePath(serving, names, message.mode)
  else {
    const { folder, name } = serving.root.parent(names)
    try {
      makeDirectory(serving, folder, name, message.mode)
    } finally {
      folder.close()
    }
  }
  request.accept()
}

/** Answers `rename`. Without `replace` an existing target is refused; the check and the rename are two steps. */
export function serveRename({ message, request, serving }: Operation<'rename'>): void {
  const from = serving.root.parent(requirePath(message.path))
  try {
    const to = serving.root.parent(requirePath(message.to))
    try {
      requirePlain(lstatSync(from.folder.entry(from.name)))
      const target = lstatSync(to.folder.entry(to.name), { throwIfNoEntry: false })
      if (target !== undefined) {
        requirePlain(target)
        if (!message.replace) throw exists()
      }
      renameEntry(from.folder.entry(from.name), to.folder.entry(to.name))
    } finally {
      to.folder.close()
    }
  } finally {
    from.folder.close()
  }
  request.accept()
}

/** Answers `setAttributes`. */
export function serveAttributes({ message, request, serving }: Operation<'setAttributes'>): void {
  const names = requirePath(message.path)
  const name = names.at(-1)
  const folder = serving.root.folder(names.slice(0, -1))
  try {
    if (name === undefined) applyAttributes(folder.self, folder.stat(), message)
    else {
      const found = serving.root.find(folder, name)
      try {
        requirePlain(found.stats)
        if (found.stats.isFile()) requireOneName(found.stats.nlink, serving)
        applyAttributes(found.self, found.stats, message)
      } finally {
        found.close()
      }
    }
  } finally {
    folder.close()
  }
  request.accept()
}

/** Answers `remove` when all of it is gone. A peer that leaves stops a recursive removal where it is. */
export async function serveRemove({ message, request, serving }: Operation<'remove'>): Promise<void> {
  const { folder, name } = serving.root.parent(requirePath(message.path))
  try {
    const entry = folder.entry(name)
    const stats = lstatSync(entry)
    if (stats.isDirectory()) {
      if (message.recursive) await emptyDirectory(folder, name, request.signal, 1)
      rmdirSync(entry)
    } else if (stats.size <= QUICK_REMOVE_BYTES) unlinkSync(entry)
    else {
      const failure = await removeFile(entry)
      if (failure !== undefined) throw toFailure(failure)
    }
  } finally {
    folder.close()
  }
  request.accept()
}

function makePath(serving: Serving, names: readonly Uint8Array[], mode: number | undefined): void {
  let folder = serving.root.folder([])
  try {
    for (const [index, name] of names.entries()) {
      const isLast = index === names.length - 1
      try {
        makeDirectory(serving, folder, name, isLast ? mode : undefined)
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
      }
      const next = stepInto(folder, name)
      folder.close()
      folder = next
    }
  } finally {
    folder.close()
  }
}

function makeDirectory(serving: Serving, folder: Folder, name: Uint8Array, mode: number | undefined): void {
  mkdirSync(folder.entry(name))
  if (mode === undefined) return
  const made = stepInto(folder, name)
  try {
    applyAttributes(made.self, made.stat(), { mode })
  } finally {
    made.close()
  }
}

type Attributes = Pick<RequestOf<'setAttributes'>, 'mode' | 'modifiedMs' | 'accessedMs'>

function applyAttributes(self: Buffer, before: Stats, { mode, modifiedMs, accessedMs }: Attributes): void {
  if (mode !== undefined) {
    // A peer neither sets nor takes away what only the host's administrator gives a directory (sticky, setgid).
    const kept = before.isDirectory() ? before.mode & 0o7000 : 0
    chmodSync(self, kept | (mode & PERMISSION_BITS))
  }
  keepTimes(self, { modifiedMs, accessedMs })
}

/** Removes what is in the directory `name`; each level holds its own descriptors, so depth is bounded. */
async function emptyDirectory(parent: Folder, name: Uint8Array, signal: AbortSignal, depth: number): Promise<void> {
  if (depth > MAX_PATH_DEPTH)
    throw new TrunkError('ERR_PATH_INVALID', `the tree has more than ${MAX_PATH_DEPTH} levels`)
  const folder = stepInto(parent, name)
  try {
    const directory = await openDirectory(folder)
    try {
      while (await removeSome(folder, directory, signal, depth));
    } finally {
      await directory.close()
    }
  } finally {
    folder.close()
  }
}

/** One batch; false at the directory's end. */
async function removeSome(folder: Folder, directory: Dir, signal: AbortSignal, depth: number): Promise<boolean> {
  const removals: Promise<unknown>[] = []
  let more = true
  try {
    for (let seen = 0; seen < REMOVE_BATCH; seen++) {
      signal.throwIfAborted()
      const found = await directory.read()
      more = found !== null
      if (found === null) break
      const name = nameOf(found)
      const entry = folder.entry(name)
      const stats = lstatSync(entry, { throwIfNoEntry: false })
      if (stats === undefined) continue
      if (stats.isDirectory()) {
        await emptyDirectory(folder, name, signal, depth + 1)
        rmdirSync(entry)
      } else if (stats.size <= QUICK_REMOVE_BYTES) unlinkSync(entry)
      else removals.push(removeFile(entry))
    }
  } finally {
    // Settled before the descriptor that they go through is closed, also after a failure.
    await Promise.all(removals)
  }
  const failed = (await Promise.all(removals)).find((failure) => failure !== undefined)
  if (failed !== undefined) throw toFailure(failed)
  return more
}

/** Gives the failure, if any; never rejects. */
function removeFile(entry: Buffer): Promise<unknown> {
  return new Promise((resolve) => {
    unlink(entry, (error) => {
      // Gone already is as good as removed.
      resolve(error === null || errnoOf(error) === 'ENOENT' ? undefined : error)
    })
  })
}

function renameEntry(from: Buffer, to: Buffer): void {
  try {
    renameSync(from, to)
  } catch (error) {
    // Linux says so for a directory that would move into itself.
    if (errnoOf(error) === 'EINVAL')
      throw new TrunkError('ERR_PATH_INVALID', 'a directory cannot move into itself', { cause: error })
    throw error
  }
}

function exists(): TrunkError {
  return new TrunkError('ERR_EXISTS', 'it exists already')
}
