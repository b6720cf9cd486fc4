/**
 * The peer's files for a command: a trunk with a filesystem client on it, and errors that name the
 * path they are about.
 */
import { filesystemClient } from '../../protocols/filesystem.ts'
import type { Context } from './context.ts'
import { about } from './failure.ts'
import { withTrunk } from './peer.ts'
import type { PeerOptions } from './peer.ts'
import { shownRemote } from './remote-path.ts'
import type { ByteString } from '../runtime/byte-string.ts'

/** The client side of the filesystem protocol. */
export type Files = ReturnType<typeof filesystemClient>

/**
 * Runs `body` with the peer's files. Every call ends with the user's interrupt: none has to be
 * told. The second client is for what takes the signal itself.
 */
export function withFiles<T>(
  context: Context,
  peer: PeerOptions,
  body: (files: Files, own: Files) => Promise<T>,
): Promise<T> {
  return withTrunk(context, peer, (trunk) => {
    const files = filesystemClient(trunk)
    return body(endedBy(context.signal, files), files)
  })
}

/** `files`, each call of which ends with `signal` as well. */
export function endedBy(signal: AbortSignal, files: Files): Files {
  const own = { signal }
  return {
    stat: (path, options) => files.stat(path, { ...own, ...options }),
    list: (path, options) => files.list(path, { ...own, ...options }),
    read: (path, options) => files.read(path, { ...own, ...options }),
    readSmall: (path, options) => files.readSmall(path, { ...own, ...options }),
    write: (path, source, options) => files.write(path, source, { ...own, ...options }),
    mkdir: (path, options) => files.mkdir(path, { ...own, ...options }),
    remove: (path, options) => files.remove(path, { ...own, ...options }),
    rename: (from, to, options) => files.rename(from, to, { ...own, ...options }),
    setAttributes: (path, options) => files.setAttributes(path, { ...own, ...options }),
    sha256: (path, options) => files.sha256(path, { ...own, ...options }),
  }
}

/** The outcome of `operation`, whose failure then names `path`, a path of the peer. */
export async function atRemote<T>(path: ByteString, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw about(shownRemote(path), error)
  }
}
