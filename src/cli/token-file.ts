/**
 * `--token-file`: a secret that both sides have; and other secrets in files. The file may be a FIFO
 * or a process substitution.
 */
import { byteString, toBytes } from '../runtime/byte-string.ts'
import { printable } from '../runtime/printable.ts'
import type { Context } from './context.ts'
import { readDescriptor } from './descriptor/input.ts'
import { openToRead } from './descriptor/open.ts'
import { about, usageError } from './failure.ts'

/** A token file larger than this is not one. */
const MAX_TOKEN_BYTES = 4096
/** That of UTF-8. */
const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf)
const LINE_END_BYTES = 2

/**
 * The file with the secret: that of the option, else of the environment, else of the configuration.
 * An empty option is wrong usage, and not no secret: it is a variable that a script has not set,
 * and everybody would be let in.
 */
export function tokenFileOf({ env }: Context, option: string | undefined, configured?: string): string | undefined {
  if (option === '') throw usageError('--token-file names no file')
  return option ?? (env['TRUNKLINE_TOKEN_FILE'] || configured)
}

/** The secret in `file`; undefined where no file is named. */
export async function readToken(context: Context, file: string | undefined): Promise<Uint8Array | undefined> {
  return file === undefined ? undefined : await readSecret(context, file)
}

/** What is in `path`, without what editors add: a byte order mark, a line end. */
export async function readSecret(context: Context, path: string): Promise<Uint8Array> {
  let bytes: Buffer
  try {
    bytes = await readStart(context, path)
  } catch (error) {
    throw about(printable(path), error)
  }
  if (isUtf16(bytes))
    throw usageError(`${printable(path)}: text in UTF-16, which no two programs write alike; save it as UTF-8`)
  const from = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0
  let end = bytes.length
  if (bytes[end - 1] === 0x0a) end -= 1
  if (bytes[end - 1] === 0x0d) end -= 1
  const token = bytes.subarray(from, Math.max(from, end))
  if (token.length > MAX_TOKEN_BYTES)
    throw usageError(`${printable(path)}: a secret has at most ${MAX_TOKEN_BYTES} bytes, and this is longer`)
  return token
}

/**
 * What a token's file may hold; of anything longer no more is read: it may be a device without an
 * end.
 */
async function readStart(context: Context, path: string): Promise<Buffer> {
  const fd = await openToRead(context, toBytes(byteString(path)))
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of readDescriptor(context, { fd, name: printable(path), close: true })) {
    chunks.push(Buffer.from(chunk))
    length += chunk.byteLength
    if (length > BYTE_ORDER_MARK.length + MAX_TOKEN_BYTES + LINE_END_BYTES) break
  }
  return Buffer.concat(chunks)
}

/** Text of every second byte: what a shell of Windows writes, `>` and all. */
function isUtf16(bytes: Buffer): boolean {
  if (bytes.length < 4 || bytes.length % 2 !== 0) return false
  const mark = bytes.readUInt16LE(0)
  const zero = mark === 0xfeff ? 1 : mark === 0xfffe ? 0 : undefined
  return zero !== undefined && bytes.subarray(2).every((byte, i) => i % 2 !== zero || byte === 0)
}
