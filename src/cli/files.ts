/**
 * The files of peers for a command: a trunk to each with a filesystem client on it, and errors that
 * name the path they are about.
 */
import { filesystemClient, type FilesystemClient } from '../../protocols/filesystem.ts'
import type { Context } from './context.ts'
import { about, usageError } from './failure.ts'
import { withTrunk } from './peer.ts'
import type { PeerOptions } from './peer.ts'
import { nameIn } from './peer-name.ts'
import { shownRemote } from './remote-path.ts'
import type { Remote } from './remote-path.ts'
import type { ByteString } from '../runtime/byte-string.ts'

/** The client side of the filesystem protocol, at one peer. */
export interface Files extends FilesystemClient {
  /** The client whose calls an interrupt does not end by itself. */
  readonly own: FilesystemClient
  /** How a path there is shown. */
  shown(path: ByteString): string
}

/** The files of the peer of a path. */
export type FilesAt = (remote: Pick<Remote, 'peer'>) => Files

/**
 * Runs `body` with the files of the peers that `named` names. There is a session with each of them
 * before anything is done; where one cannot be had nothing is. Every call ends with the user's
 * interrupt: none has to be told. `own` of {@link Files} is for what takes the signal itself.
 */
export async function withFiles<T>(
  context: Context,
  options: PeerOptions,
  named: readonly Pick<Remote, 'peer'>[],
  body: (filesAt: FilesAt) => Promise<T>,
): Promise<T> {
  const own = ownName(context, options)
  const keyOf = (peer: string | undefined): string => peer ?? own
  const clients = new Map<string, FilesystemClient>()
  const connect = async ([peer, ...others]: readonly string[]): Promise<T> => {
    if (peer === undefined)
      return await body(({ peer }) => {
        const client = clients.get(keyOf(peer))
        if (client === undefined) throw usageError(`there is no session with ${peer ?? 'the peer'}`)
        return endedBy(context.signal, client, peer)
      })
    return await withTrunk(context, peer === own ? options : { ...options, to: `@${peer}` }, async (trunk) => {
      clients.set(peer, filesystemClient(trunk))
      return await connect(others)
    })
  }
  return await connect([...new Set(named.map(({ peer }) => keyOf(peer)))])
}

/** True where both paths are at one peer, as far as names tell. */
export function isSamePeer(context: Context, options: PeerOptions, one: Remote, other: Remote): boolean {
  const own = ownName(context, options)
  return (one.peer ?? own) === (other.peer ?? own)
}

/** The name of the command's own peer; empty where it is an address. */
function ownName({ env }: Context, { to = env['TRUNKLINE_TO'] ?? '' }: PeerOptions): string {
  return nameIn(to) ?? ''
}

/** `files` of `peer`, each call of which ends with `signal` as well. */
export function endedBy(signal: AbortSignal, files: FilesystemClient, peer?: string): Files {
  const own = { signal }
  return {
    own: files,
    shown: (path) => shownRemote({ peer, path }),
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

/** The outcome of `operation`, whose failure then names what it is about: `shown`, a path. */
export async function at<T>(shown: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw about(shown, error)
  }
}
