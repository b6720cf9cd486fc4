/**
 * The client's side of `filesystem`: checks what the user gives, before anything is sent, and
 * states it as a request. Each call is one pipe (client-calls.ts), and one more where a slash at
 * the end of a path says that a directory is meant: the peer is asked first what is there.
 */
import { systemClock } from '../../src/runtime/clock.ts'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { Trunk } from '../../src/contracts/types.ts'
import { Calls, PROGRESS_TIMEOUT_MS } from './client-calls.ts'
import type { CallOptions, ClientOptions, FilesystemClient, RangeOptions, WriteOptions } from './client-types.ts'
import { MAX_DATE_MS, type FileRequestInput, type FileType } from './messages.ts'
import { clientPath, type ClientPath } from './path.ts'

/**
 * The files that the peer of `trunk` serves. Holds nothing itself; any number may be made.
 *
 * @example
 * ```ts
 * const files = filesystemClient(trunk)
 * await files.write('notes.txt', Buffer.from('hello'))
 * for await (const bytes of files.read('notes.txt')) process.stdout.write(bytes.subarray())
 * ```
 */
export function filesystemClient(trunk: Trunk, options: ClientOptions = {}): FilesystemClient {
  const { progressTimeoutMs = PROGRESS_TIMEOUT_MS, clock = systemClock } = options
  const call = new Calls(trunk, requireInteger('progressTimeoutMs', progressTimeoutMs, 1, 2 ** 31 - 1), clock)
  const typeOf = async (path: ClientPath, options?: CallOptions): Promise<FileType> =>
    (await call.reply({ op: 'stat', path: path.bytes }, signalOf(options))).type
  /** ERR_NOT_DIRECTORY where `path` says that it is a directory, and it is something else. */
  const asItSays = async (path: ClientPath, options?: CallOptions): Promise<void> => {
    if (path.saysFolder) requireFolder(await typeOf(path, options))
  }
  /** Why a path that says that it is a directory has no bytes. */
  const whyNoFile = async (path: ClientPath, options?: CallOptions): Promise<never> => {
    await asItSays(path, options)
    throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  }
  return {
    async stat(path, options) {
      const { bytes, saysFolder } = clientPath(path)
      const found = await call.reply({ op: 'stat', path: bytes }, options)
      if (saysFolder) requireFolder(found.type)
      return found
    },
    list(path, options) {
      return call.list({ op: 'list', path: clientPath(path).bytes }, options)
    },
    read(path, options) {
      const from = clientPath(path)
      const request = { op: 'read', path: from.bytes, ...range(options) } as const
      // it starts when it is iterated
      const mayRead = from.saysFolder ? () => whyNoFile(from, options) : undefined
      return call.read(request, options, mayRead)
    },
    async readSmall(path, { size, signal } = {}) {
      const from = clientPath(path)
      const checked = { size: checkedSize('size', size) ?? 0, ...signalOf({ signal }) }
      if (from.saysFolder) await whyNoFile(from, checked)
      return await call.readSmall(from.bytes, checked)
    },
    async write(path, source, options = {}) {
      const to = clientPath(path)
      const request = writeRequest(to, options)
      if (to.saysFolder) await whyNoFile(to, options).catch(orNoFolder)
      return { bytes: await call.write(request, source, options) }
    },
    async mkdir(path, { recursive, mode, signal } = {}) {
      await call.plain({ op: 'mkdir', path: clientPath(path).bytes, recursive, mode: checkedMode(mode) }, signal)
    },
    async remove(path, { recursive, signal } = {}) {
      const gone = clientPath(path)
      await asItSays(gone, signalOf({ signal }))
      await call.plain({ op: 'remove', path: gone.bytes, recursive }, signal, 'held')
    },
    async rename(from, to, { replace, signal } = {}) {
      const [old, name] = [clientPath(from), clientPath(to)]
      await asItSays(old, signalOf({ signal }))
      // The name `done/` is no file's: made one without its slash, the file would be replaced by
      // the next that is moved there.
      if (name.saysFolder && (await typeOf(old, signalOf({ signal }))) !== 'directory') {
        throw new TrunkError('ERR_NOT_DIRECTORY', 'only a directory gets a name that ends with a slash')
      }
      await call.plain({ op: 'rename', path: old.bytes, to: name.bytes, replace }, signal)
    },
    async setAttributes(path, { mode, modifiedMs, accessedMs, signal }) {
      const changed = clientPath(path)
      const times = {
        modifiedMs: checkedTime('modifiedMs', modifiedMs),
        accessedMs: checkedTime('accessedMs', accessedMs),
      }
      const request = { op: 'setAttributes', path: changed.bytes, mode: checkedMode(mode), ...times } as const
      await asItSays(changed, signalOf({ signal }))
      await call.plain(request, signal)
    },
    async sha256(path, options) {
      const from = clientPath(path)
      const request = { op: 'sha256', path: from.bytes, ...range(options) } as const
      if (from.saysFolder) await whyNoFile(from, options)
      return new Uint8Array((await call.reply(request, options, 'held')).sha256)
    },
  }
}

function signalOf({ signal }: { readonly signal?: AbortSignal | undefined } = {}): CallOptions {
  return signal === undefined ? {} : { signal }
}

function requireFolder(type: FileType): void {
  if (type === 'directory') return
  if (type === 'symlink') throw new TrunkError('ERR_SYMLINK', 'symbolic links are not followed')
  throw new TrunkError('ERR_NOT_DIRECTORY', 'it is not a directory, and its name ends with a slash')
}

/** For `catch`: a file cannot be made under a directory's name. */
function orNoFolder(error: unknown): never {
  if (!(error instanceof TrunkError && error.code === 'ERR_NOT_FOUND')) throw error
  throw new TrunkError('ERR_NOT_DIRECTORY', 'there is no such directory', { cause: error })
}

function writeRequest({ bytes }: ClientPath, options: WriteOptions): FileRequestInput & { op: 'write' } {
  const { append = false, offset, exclusive, durable } = options
  if (append && offset !== undefined) throw badArgument('append and offset exclude each other')
  return {
    op: 'write',
    path: bytes,
    how: append ? 'append' : offset === undefined ? 'replace' : 'update',
    offset: checkedSize('offset', offset),
    mode: checkedMode(options.mode),
    modifiedMs: checkedTime('modifiedMs', options.modifiedMs),
    exclusive,
    durable,
  }
}

function range(options: RangeOptions = {}): { offset: number | undefined; length: number | undefined } {
  return { offset: checkedSize('offset', options.offset), length: checkedSize('length', options.length) }
}

function checkedSize(name: string, value: number | undefined): number | undefined {
  return value === undefined ? undefined : requireInteger(name, value, 0, Number.MAX_SAFE_INTEGER)
}

function checkedMode(value: number | undefined): number | undefined {
  return value === undefined ? undefined : requireInteger('mode', value, 0, 0o7777)
}

function checkedTime(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isFinite(value) && Math.abs(value) <= MAX_DATE_MS)) return value
  throw badArgument(`${name} must be milliseconds since 1970, not ${String(value)}`)
}
