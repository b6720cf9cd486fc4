/**
 * The server's side of `filesystem`: one pipe per operation. The open's parameters are the request,
 * the work that can fail is done before the accept, the accept carries the reply, and file data are
 * the pipe's bytes. Promises that nothing outside the root is touched, that a read-only root stays
 * untouched, that at most `maxHandles` operations of a trunk hold descriptors, and that all of them
 * are back when the operation's pipe has ended, however it ended. No message that leaves here holds
 * a local path.
 */
import { realpathSync, statSync } from 'node:fs'
import { badArgument, TrunkError, withoutControls } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { PipeRequest, Protocol, ProtocolDefinition } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { LONE_SURROGATE, SLASH } from './path.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'
import { decodeRequest, FILESYSTEM, type FileRequest, type RequestOf } from './messages.ts'
import { TREE_DESCRIPTORS } from './remove-tree.ts'
import { Root } from './root.ts'
import { serveList, serveStat } from './serve-list.ts'
import { serveReadMany, serveWriteMany } from './serve-many.ts'
import { serveRead, serveSha256 } from './serve-read.ts'
import { serveAttributes, serveMkdir, serveRemove, serveRename } from './serve-tree.ts'
import { serveWrite } from './serve-write.ts'
import { Serving, type Operation } from './serving.ts'

/**
 * Operations of one trunk that may hold descriptors at a time: a peer must not exhaust the
 * process's.
 */
export const DEFAULT_MAX_HANDLES = 64
/**
 * Largest file that a peer may make, 1 TiB: more than anyone sends, and an end to sparse growth.
 */
export const DEFAULT_MAX_FILE_BYTES: number = 2 ** 40

/** What {@link filesystem} serves, and how far it trusts the peer. */
export interface FilesystemOptions {
  /**
   * The directory that peers see as `/`, as text or as bytes. Must exist. A relative one is
   * resolved once, when this is called.
   */
  root: string | Uint8Array
  /** Refuses everything that changes something, with ERR_READ_ONLY. @default false */
  readOnly?: boolean
  /**
   * Operations of one trunk that may hold descriptors at a time, 1 to 10,000; more are
   * ERR_HANDLE_LIMIT. @default 64
   */
  maxHandles?: number
  /**
   * Largest size, in bytes, that a write may give a file; above it is ERR_QUOTA. @default 2^40 (1
   * TiB)
   */
  maxFileBytes?: number
  /**
   * Lets peers change files with several names (hard links) in place: append, write at an offset,
   * set attributes. The other names may lie outside the root. Atomic writes never need this: they
   * give the name a new file. @default false
   */
  allowHardLinkWrites?: boolean
}

const READING_OPS: ReadonlySet<FileRequest['op']> = new Set(['stat', 'list', 'read', 'readMany', 'sha256'])

/**
 * Serves the files below a directory to peers. Throws ERR_BAD_ARGUMENT at once for options that
 * make no sense, ERR_NOT_FOUND or ERR_NOT_DIRECTORY for a root that is no directory,
 * ERR_UNSUPPORTED on Windows.
 *
 * @example
 * ```ts
 * const protocols = [filesystem({ root: '/srv', readOnly: true })]
 * const server = await serve(address, { protocols })
 * ```
 */
export function filesystem(options: FilesystemOptions): Protocol {
  const serving = new Serving(new Root(checkedRoot(options.root)), {
    readOnly: requireBoolean('readOnly', options.readOnly ?? false),
    maxHandles: requireInteger('maxHandles', options.maxHandles ?? DEFAULT_MAX_HANDLES, 1, 10_000),
    maxFileBytes: requireInteger(
      'maxFileBytes',
      options.maxFileBytes ?? DEFAULT_MAX_FILE_BYTES,
      0,
      Number.MAX_SAFE_INTEGER,
    ),
    allowHardLinkWrites: requireBoolean('allowHardLinkWrites', options.allowHardLinkWrites ?? false),
  })
  return fileProtocol(serving)
}

/** The protocol over a root that was made elsewhere. */
export function fileProtocol(serving: Serving): Protocol {
  const definition: ProtocolDefinition<FileRequest> = {
    name: FILESYSTEM,
    parse: parseRequest,
    async handle(request) {
      try {
        await serve(serving, request)
      } catch (error) {
        throw toFailure(error)
      }
    },
  }
  return definition
}

function parseRequest(params: unknown): FileRequest {
  return unwrap(decodeRequest(params))
}

async function serve(serving: Serving, request: PipeRequest<FileRequest>): Promise<void> {
  const message = request.params
  if (serving.options.readOnly && !READING_OPS.has(message.op)) {
    throw new TrunkError('ERR_READ_ONLY', 'these files are served for reading only')
  }
  const { account } = serving.enter(request.trunk)
  switch (message.op) {
    case 'stat':
      serveStat({ message, request, serving, account })
      return
    case 'mkdir':
      serveMkdir({ message, request, serving, account })
      return
    case 'rename':
      serveRename({ message, request, serving, account })
      return
    case 'setAttributes':
      serveAttributes({ message, request, serving, account })
      return
    default:
      await serving.withHandle(request.trunk, descriptorsOf(message), () =>
        serveHeld({ serving, request, account }, message),
      )
  }
}

type HeldOp = 'list' | 'read' | 'readMany' | 'sha256' | 'write' | 'writeMany' | 'remove'

/**
 * What one of each may hold at a time: a file, its directory, what is renamed; both descriptors of
 * the levels of a tree that is removed.
 */
const DESCRIPTORS: Readonly<Record<HeldOp, number>> = {
  read: 1,
  sha256: 1,
  list: 2,
  write: 3,
  readMany: 3,
  writeMany: 4,
  remove: 2,
}

function descriptorsOf(message: RequestOf<HeldOp>): number {
  const ofTree = message.op === 'remove' && message.recursive ? TREE_DESCRIPTORS : 0
  return DESCRIPTORS[message.op] + ofTree
}

/** Operations that hold descriptors across turns of the event loop. */
function serveHeld(shared: Omit<Operation<HeldOp>, 'message'>, message: RequestOf<HeldOp>): Promise<void> {
  switch (message.op) {
    case 'list':
      return serveList({ message, ...shared })
    case 'read':
      return serveRead({ message, ...shared })
    case 'readMany':
      return serveReadMany({ message, ...shared })
    case 'sha256':
      return serveSha256({ message, ...shared })
    case 'write':
      return serveWrite({ message, ...shared })
    case 'writeMany':
      return serveWriteMany({ message, ...shared })
    case 'remove':
      return serveRemove({ message, ...shared })
  }
}

function checkedRoot(root: unknown): Buffer {
  const isText = typeof root === 'string'
  if (
    !(isText || root instanceof Uint8Array) ||
    root.length === 0 ||
    Buffer.from(root).includes(0) ||
    (isText && LONE_SURROGATE.test(root))
  ) {
    throw badArgument(`root must be the path of a directory, not ${isText ? JSON.stringify(root) : typeof root}`)
  }
  if (process.platform === 'win32') throw new TrunkError('ERR_UNSUPPORTED', 'files are served on Linux and macOS only')
  const path = absolute(Buffer.from(root))
  const stats = statSync(path, { throwIfNoEntry: false })
  const shown = withoutControls(path.toString())
  // A local error for the local user: here the path may be named.
  if (stats === undefined) throw new TrunkError('ERR_NOT_FOUND', `root ${shown} does not exist`, { scope: 'argument' })
  if (!stats.isDirectory())
    throw new TrunkError('ERR_NOT_DIRECTORY', `root ${shown} is not a directory`, { scope: 'argument' })
  return path
}

/**
 * The folder that the process is in is asked of the kernel as bytes: `process.cwd()` is text, and
 * would name another one.
 */
function absolute(path: Buffer): Buffer {
  if (path[0] === SLASH) return path
  return Buffer.concat([realpathSync.native('.', 'buffer'), Buffer.from('/'), path])
}

function requireBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw badArgument(`${name} must be true or false, not ${String(value)}`)
}
