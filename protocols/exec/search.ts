/**
 * Which file a program's name stands for: found once, so that what was decided on is what is
 * executed.
 */
import { constants } from 'node:fs'
import { access, realpath, stat } from 'node:fs/promises'
import { TrunkError } from '../../src/contracts/errors.ts'
import { launchFailure } from './failures.ts'

const SLASH = 0x2f
const COLON = 0x3a

/**
 * The absolute path of the file that `name` stands for, in the folders of `path` (as PATH has them)
 * or, where it has a slash, from `directory` on. Throws as a launch does at the stages `search` and
 * `execute`.
 */
export async function findProgram(name: Uint8Array, path: Uint8Array, directory: Uint8Array): Promise<Buffer> {
  if (name.byteLength === 0) throw launchFailure('search', '')
  if (name.includes(SLASH)) {
    const file = within(directory, name)
    await executable(file)
    return file
  }
  let denied: TrunkError | undefined
  for (const folder of foldersOf(path)) {
    const file = within(within(directory, folder), name)
    try {
      await executable(file)
      return file
    } catch (error) {
      if (!(error instanceof TrunkError)) throw error
      // there, and not to be executed: another folder may have one that is, as for a shell
      if (error.code !== 'ERR_COMMAND_NOT_FOUND') denied ??= error
    }
  }
  throw denied ?? launchFailure('search', '')
}

/**
 * Throws as a launch does at the stage `directory`. Node tells of a folder that is missing as of a
 * program that is: asked beforehand.
 */
export async function enterable(directory: Buffer): Promise<void> {
  try {
    if (!(await stat(directory)).isDirectory()) throw launchFailure('directory', 'ENOTDIR')
    await access(directory, constants.X_OK)
  } catch (error) {
    if (error instanceof TrunkError) throw error
    throw launchFailure('directory', (error as NodeJS.ErrnoException).code ?? '', error)
  }
}

/** The file that a path leads to in the end. */
export async function realFile(file: Buffer): Promise<Buffer> {
  try {
    return await realpath(file, 'buffer')
  } catch (error) {
    throw launchFailure('search', '', error)
  }
}

/** `path` from `directory` on, where it is not absolute itself. */
export function within(directory: Uint8Array, path: Uint8Array): Buffer {
  if (path[0] === SLASH) return Buffer.from(path)
  if (path.byteLength === 0) return Buffer.from(directory)
  return Buffer.concat([directory, Buffer.from('/'), path])
}

async function executable(file: Buffer): Promise<void> {
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw launchFailure('execute', 'EISDIR')
  } catch (error) {
    if (error instanceof TrunkError) throw error
    throw launchFailure('search', '', error)
  }
  try {
    await access(file, constants.X_OK)
  } catch (error) {
    throw launchFailure('execute', 'EACCES', error)
  }
}

function foldersOf(path: Uint8Array): Uint8Array[] {
  const folders: Uint8Array[] = []
  let from = 0
  for (let at = 0; at <= path.byteLength; at++) {
    if (at < path.byteLength && path[at] !== COLON) continue
    folders.push(path.subarray(from, at))
    from = at + 1
  }
  return folders
}
