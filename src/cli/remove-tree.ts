/**
 * Removing a directory of the peer with all that is in it. The peer does it in one go, and ends at
 * the first thing that it cannot remove. Then it is gone through from here: each directory in it
 * the same way, so that every entry which stays is named, and everything else goes.
 */
import { joinPath, wirePath } from '../runtime/byte-path.ts'
import { type ByteString, fromBytes } from '../runtime/byte-string.ts'
import { inParallel } from '../runtime/in-parallel.ts'
import { asFailure } from './failure.ts'
import type { Files } from './files.ts'
import type { OperandErrors } from './operand-errors.ts'

/** Removals under way at once. */
const IN_FLIGHT = 32

/**
 * Removes `path`, which may be a file as well. What stays is reported; true where all of it has
 * gone.
 */
export async function removeTree(files: Files, path: ByteString, errors: OperandErrors): Promise<boolean> {
  try {
    await files.remove(wirePath(path), { recursive: true })
    return true
  } catch (error) {
    if (!(await isFolder(files, path))) {
      errors.report(files.shown(path), error)
      return false
    }
  }
  try {
    if (!(await removeContents(files, path, errors))) return false
    await files.remove(wirePath(path))
    return true
  } catch (error) {
    // said of the directory itself: it cannot be listed, or not removed though it is empty
    errors.report(files.shown(path), error)
    return false
  }
}

async function isFolder(files: Files, path: ByteString): Promise<boolean> {
  try {
    return (await files.stat(wirePath(path))).type === 'directory'
  } catch {
    return false // why it was not removed says more
  }
}

/**
 * The files while they are listed, then the directories: a listing that is open holds a turn of the
 * client, and nested ones all of them.
 */
async function removeContents(files: Files, path: ByteString, errors: OperandErrors): Promise<boolean> {
  const folders: ByteString[] = []
  let all = true
  await inParallel(files.list(wirePath(path)), IN_FLIGHT, async ({ nameBytes, type }) => {
    const entry = joinPath(path, fromBytes(nameBytes))
    if (type === 'directory') {
      folders.push(entry)
      return
    }
    try {
      await files.remove(wirePath(entry))
    } catch (error) {
      if (asFailure(error).code === 'ERR_NOT_FOUND') return
      errors.report(files.shown(entry), error)
      all = false
    }
  })
  for (const folder of folders) if (!(await removeTree(files, folder, errors))) all = false
  return all
}
