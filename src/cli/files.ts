/** The peer's files for a command: a trunk with a filesystem client on it, and errors that name the path they are about. */
import { filesystemClient } from '../../protocols/filesystem.ts'
import type { Context } from './context.ts'
import { about } from './failure.ts'
import { withTrunk } from './peer.ts'
import type { PeerOptions } from './peer.ts'
import { shownRemote } from './remote-path.ts'
import type { ByteString } from './byte-string.ts'

/** The client side of the filesystem protocol. */
export type Files = ReturnType<typeof filesystemClient>

/** Runs `body` with the peer's files. */
export function withFiles<T>(context: Context, peer: PeerOptions, body: (files: Files) => Promise<T>): Promise<T> {
  return withTrunk(context, peer, (trunk) => body(filesystemClient(trunk)))
}

/** The outcome of `operation`, whose failure then names `path`, a path of the peer. */
export async function atRemote<T>(path: ByteString, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw about(shownRemote(path), error)
  }
}
