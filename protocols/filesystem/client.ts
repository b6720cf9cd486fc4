/**
 * The client's side of `filesystem`: checks what the user gives, before anything is sent, and states it as a request. Each call
 * is one pipe (client-calls.ts).
 */
import { badArgument } from '../../src/errors.ts'
import { requireInteger } from '../../src/limits.ts'
import type { Trunk } from '../../src/types.ts'
import { Calls } from './client-calls.ts'
import type { FilesystemClient, RangeOptions, WriteOptions } from './client-types.ts'
import { MAX_DATE_MS, type FileRequestInput } from './messages.ts'
import { encodePath, type FilePath } from './path.ts'

/** The files that the peer of `trunk` serves. Holds nothing itself; any number may be made. */
export function filesystemClient(trunk: Trunk): FilesystemClient {
  const call = new Calls(trunk)
  return {
    async stat(path, options) {
      return await call.reply({ op: 'stat', path: encodePath(path) }, options)
    },
    list(path, options) {
      return call.list({ op: 'list', path: encodePath(path) }, options)
    },
    read(path, options) {
      return call.read({ op: 'read', path: encodePath(path), ...range(options) }, options)
    },
    async readSmall(path, { size, signal } = {}) {
      const checked = { size: checkedSize('size', size) ?? 0, ...(signal === undefined ? {} : { signal }) }
      return await call.readSmall(encodePath(path), checked)
    },
    async write(path, source, options = {}) {
      return { bytes: await call.write(writeRequest(path, options), source, options) }
    },
    async mkdir(path, { recursive, mode, signal } = {}) {
      await call.plain({ op: 'mkdir', path: encodePath(path), recursive, mode: checkedMode(mode) }, signal)
    },
    async remove(path, { recursive, signal } = {}) {
      await call.plain({ op: 'remove', path: encodePath(path), recursive }, signal, 'held')
    },
    async rename(from, to, { replace, signal } = {}) {
      await call.plain({ op: 'rename', path: encodePath(from), to: encodePath(to), replace }, signal)
    },
    async setAttributes(path, { mode, modifiedMs, accessedMs, signal }) {
      const times = {
        modifiedMs: checkedTime('modifiedMs', modifiedMs),
        accessedMs: checkedTime('accessedMs', accessedMs),
      }
      await call.plain({ op: 'setAttributes', path: encodePath(path), mode: checkedMode(mode), ...times }, signal)
    },
    async sha256(path, options) {
      const request = { op: 'sha256', path: encodePath(path), ...range(options) } as const
      return new Uint8Array((await call.reply(request, options, 'held')).sha256)
    },
  }
}

function writeRequest(path: FilePath, options: WriteOptions): FileRequestInput & { op: 'write' } {
  const { append = false, offset, exclusive, durable } = options
  if (append && offset !== undefined) throw badArgument('append and offset exclude each other')
  return {
    op: 'write',
    path: encodePath(path),
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
