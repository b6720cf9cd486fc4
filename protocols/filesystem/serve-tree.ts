/**
 * Changing the tree: mkdir, rename, remove, attributes. Each acts on names in directories that were
 * really reached. Removing removes a link itself, never what it points to; renaming and attributes
 * are for regular files and directories only.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, rmdirSync, type Stats } from 'node:fs'
import { inPool } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import type { RequestOf } from './messages.ts'
import { requirePath } from './path.ts'
import { emptyDirectory, removeEntry, type Removing } from './remove-tree.ts'
import { requirePlain, stepInto, type Folder } from './root.ts'
import { PERMISSION_BITS, requireOneName } from './serve-write.ts'
import { keepTimes } from './times.ts'
import type { Operation, Serving } from './serving.ts'

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

/**
 * Answers `rename`. Without `replace` an existing target is refused; the check and the rename are
 * two steps.
 */
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

/**
 * Answers `remove` when all of it is gone. A peer that leaves stops a recursive removal where it
 * is.
 */
export async function serveRemove({ message, request, serving, account }: Operation<'remove'>): Promise<void> {
  const removing: Removing = {
    signal: request.signal,
    inPool: (work) => inPool(account.jobs, request, work),
    working: () => {
      request.working()
    },
  }
  const { folder, name } = serving.root.parent(requirePath(message.path))
  try {
    const entry = folder.entry(name)
    const stats = lstatSync(entry)
    if (stats.isDirectory()) {
      if (message.recursive) await emptyDirectory(folder, name, removing)
      rmdirSync(entry)
    } else await removeEntry(entry, stats.size, removing)
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
    // A peer neither sets nor takes away what only the host's administrator gives a directory
    // (sticky, setgid).
    const kept = before.isDirectory() ? before.mode & 0o7000 : 0
    chmodSync(self, kept | (mode & PERMISSION_BITS))
  }
  keepTimes(self, { modifiedMs, accessedMs })
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
