/** What a path of the peer is now, for commands that act differently on a directory. */
import { asFailure } from '../failure.ts'
import { at } from '../files.ts'
import type { Files } from '../files.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import type { ByteString } from '../../runtime/byte-string.ts'

/** The type of what is at `path`; undefined where there is nothing. */
export async function remoteType(
  files: Files,
  path: ByteString,
): Promise<'file' | 'directory' | 'symlink' | 'other' | undefined> {
  try {
    return (await at(files.shown(path), files.stat(wirePath(path)))).type
  } catch (error) {
    if (asFailure(error).code === 'ERR_NOT_FOUND') return undefined
    throw error
  }
}
