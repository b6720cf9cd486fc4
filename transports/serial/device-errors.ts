/**
 * What the system says about a device, as trunkline's errors: on opening it, and on a line that
 * stood. Promises: the code is decided by `error.code`, the original is the `cause`, and the
 * sentence names the device and what to do.
 */
import { readFileSync, type Stats } from 'node:fs'
import { TrunkError, type KnownCode } from '../../src/contracts/errors.ts'
import { linkError } from '../../src/runtime/net-errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'

/** The device is not there, or not yet. */
const MISSING = new Set(['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO'])
const DENIED = new Set(['EACCES', 'EPERM'])
/** What reading, writing or polling gives when a device has been unplugged or has hung up. */
const GONE = new Set(['EIO', 'ENODEV', 'ENXIO', 'EBADF'])

/**
 * Why `path` could not be opened: ERR_NOT_FOUND, ERR_ACCESS, ERR_BUSY, or ERR_IO for what is left.
 * A `TrunkError` comes back as it is.
 */
export function openFailure(error: unknown, path: string, found?: Stats): TrunkError {
  if (error instanceof TrunkError) return error
  const code = errnoOf(error) ?? ''
  if (MISSING.has(code)) return failure('ERR_NOT_FOUND', `there is no device ${path}`, error)
  if (code === 'EBUSY') return deviceBusy(path, error)
  if (DENIED.has(code)) {
    const rights = found === undefined ? '' : `; it is ${rightsOf(found)}`
    return failure('ERR_ACCESS', `the device ${path} may not be opened by this user${rights}`, error)
  }
  if (code === 'EIO') return failure('ERR_IO', `the device ${path} does not work: there is nothing behind it`, error)
  return failure('ERR_IO', `the device ${path} cannot be opened`, error)
}

/** Somebody else has it. */
export function deviceBusy(path: string, cause: unknown): TrunkError {
  return failure('ERR_BUSY', `the device ${path} is in use: another program has it open`, cause)
}

/** The device was there and is gone. */
export function deviceLost(cause: unknown): TrunkError {
  return failure('ERR_LINK_LOST', 'the device is gone', cause)
}

/** Why a device that was open has failed. */
export function deviceFailure(error: unknown): TrunkError {
  return GONE.has(errnoOf(error) ?? '') ? deviceLost(error) : linkError(error)
}

function failure(code: KnownCode, message: string, cause: unknown): TrunkError {
  return new TrunkError(code, message, { cause, scope: 'link' })
}

/** `mode 0660, user 0, group dialout`: who may open it. */
function rightsOf({ mode, uid, gid }: Stats): string {
  return `mode ${(mode & 0o7777).toString(8).padStart(4, '0')}, user ${uid}, group ${groupName(gid)}`
}

function groupName(gid: number): string {
  try {
    const lines = readFileSync('/etc/group', 'utf8').split('\n')
    return lines.map((line) => line.split(':')).find((fields) => fields[2] === String(gid))?.[0] ?? String(gid)
  } catch {
    // no such file on this system: the number says it, too
    return String(gid)
  }
}
