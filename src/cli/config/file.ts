/**
 * The file of the configuration: `--config FILE`, $TRUNKLINE_CONFIG, or trunkline/config.toml in
 * $XDG_CONFIG_HOME or ~/.config. None is looked for in the current folder. It may hold commands
 * that are run (`exec:`), so it is used only where nobody else can write it. Bound:
 * MAX_CONFIG_BYTES.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { byteString, toBytes, type ByteString } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import { localError } from '../../runtime/file-errors.ts'
import { errnoOf } from '../../runtime/system-errors.ts'
import type { Context } from '../context.ts'
import { EXIT, Failure } from '../failure.ts'

/** A configuration is no larger; of a larger file this much is read. */
export const MAX_CONFIG_BYTES: number = 256 * 1024
const WRITABLE_BY_OTHERS = 0o022
/** No FIFO holds us, and no terminal becomes ours. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** Where the configuration is. */
export interface ConfigPlace {
  readonly path: ByteString
  /** For lines. */
  readonly shown: string
  /** The user has named it, so it has to be there. */
  readonly named: boolean
}

/** What is wrong with the configuration, in one line. Exit status 2: nothing was done. */
export function configError(sentence: string, cause?: unknown): Failure {
  return new Failure('ERR_CONFIG_INVALID', sentence, EXIT.usage, { cause })
}

/** Where it is; undefined where this user has no folder for it. */
export function configPlace({ env }: Pick<Context, 'env'>, option?: string): ConfigPlace | undefined {
  const given = option ?? env['TRUNKLINE_CONFIG']
  if (given !== undefined && given !== '') return { path: byteString(given), shown: printable(given), named: true }
  const folder = [env['XDG_CONFIG_HOME'], env['HOME'] && `${env['HOME']}/.config`].find((path) => path?.startsWith('/'))
  if (folder === undefined) return undefined
  const path = `${folder}/trunkline/config.toml`
  return { path: byteString(path), shown: printable(path), named: false }
}

/** The text of the file; undefined where there is none, and none was named. */
export function readConfigFile({ path, shown, named }: ConfigPlace): string | undefined {
  let bytes: Buffer
  try {
    bytes = readAll(path, shown)
  } catch (error) {
    if (!named && errnoOf(error) === 'ENOENT') return undefined
    if (error instanceof Failure) throw error
    throw configError(`${shown}: ${localError(error).message}`, error)
  }
  if (!isUtf8(bytes)) throw configError(`${shown}:${badLine(bytes)}: the file is no text in UTF-8`)
  return bytes.toString('utf8')
}

function readAll(path: ByteString, shown: string): Buffer {
  const fd = openSync(toBytes(path), READ)
  try {
    requireOurs(fstatSync(fd), shown)
    const buffer = Buffer.allocUnsafe(MAX_CONFIG_BYTES + 1)
    let length = 0
    for (let bytes = 1; bytes > 0 && length < buffer.length;) {
      bytes = readSync(fd, buffer, length, buffer.length - length, null)
      length += bytes
    }
    if (length > MAX_CONFIG_BYTES) throw configError(`${shown}: it has more than ${MAX_CONFIG_BYTES} bytes`)
    return buffer.subarray(0, length)
  } finally {
    closeSync(fd)
  }
}

function requireOurs(stats: Stats, shown: string): void {
  if (stats.isDirectory()) throw configError(`${shown}: it is a directory, and has to be a file`)
  if (!stats.isFile()) throw configError(`${shown}: it is no regular file`)
  const user = process.geteuid?.()
  if (user === undefined) return
  if (stats.uid !== user && stats.uid !== 0)
    throw configError(`${shown}: it belongs to another user, who could have anything run here`)
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0)
    throw configError(`${shown}: others may write it, and so have anything run here; chmod go-w`)
}

/** The line with the first byte that is not UTF-8. */
function badLine(bytes: Buffer): number {
  let line = 1
  for (let from = 0; ; line++) {
    const end = bytes.indexOf(0x0a, from)
    if (end < 0 || !isUtf8(bytes.subarray(from, end))) return line
    from = end + 1
  }
}
