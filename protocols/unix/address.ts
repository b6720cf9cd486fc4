/**
 * Where a unix socket is: an absolute path, or `@NAME` in Linux's abstract namespace. Bytes, since
 * file names are bytes. One spelling for each file: no `.`, no `..` and no empty name, so that a
 * rule that is compared with one cannot be climbed around.
 */
import { badArgument } from '../../src/contracts/errors.ts'
import { LONE_SURROGATE, splitPath } from '../filesystem/path.ts'

/** A socket's path, or `@NAME`; bytes where it is not UTF-8. */
export type UnixPath = string | Uint8Array

/** A checked {@link UnixPath}. */
export type UnixAddress =
  | { readonly type: 'file'; readonly path: Uint8Array; readonly names: readonly Uint8Array[] }
  | { readonly type: 'abstract'; readonly path: Uint8Array; readonly name: Uint8Array }

/** An address, or why it is none. */
export type AddressResult =
  | { readonly ok: true; readonly value: UnixAddress }
  | { readonly ok: false; readonly why: string }

/** What `sockaddr_un` holds behind the zero byte of an abstract name. */
const MAX_ABSTRACT_BYTES = 107
const AT = 0x40
const SLASH = 0x2f

/** The bytes of a user's or a peer's path; undefined for text that has none. */
export function pathBytes(path: UnixPath): Uint8Array | undefined {
  if (path instanceof Uint8Array) return path
  return LONE_SURROGATE.test(path) ? undefined : Buffer.from(path)
}

/** Checks `path`. A zero byte at its start is the `@` of an abstract name. Never throws. */
export function parseAddress(path: UnixPath): AddressResult {
  const bytes = pathBytes(path)
  if (bytes === undefined) return refuse('a path must not contain a lone surrogate')
  if (bytes[0] === AT || bytes[0] === 0) return parseAbstract(bytes.subarray(1))
  if (bytes[0] !== SLASH) return refuse('a socket is an absolute path, or @NAME')
  const split = splitPath(bytes)
  if (!split.ok) return refuse(split.why)
  if (split.names.length === 0) return refuse('the path names no socket')
  return { ok: true, value: { type: 'file', path: bytes, names: split.names } }
}

/** The address of {@link parseAddress}, or ERR_BAD_ARGUMENT. */
export function requireAddress(path: unknown): UnixAddress {
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw badArgument(`the path of a socket is a string or bytes, not ${typeof path}`)
  }
  const result = parseAddress(path)
  if (!result.ok) throw badArgument(`not the path of a socket: ${result.why}`)
  return result.value
}

/**
 * A path for people, without what drives a terminal; one that is not UTF-8 is shown as well as it
 * can be.
 */
export function printableAddress({ path }: UnixAddress): string {
  const text = new TextDecoder().decode(path[0] === 0 ? Buffer.concat([Buffer.of(AT), path.subarray(1)]) : path)
  return text.replace(/\p{Cc}/gu, '\uFFFD')
}

function parseAbstract(name: Uint8Array): AddressResult {
  if (name.byteLength === 0) return refuse('an abstract name has at least one byte')
  if (name.byteLength > MAX_ABSTRACT_BYTES) return refuse(`an abstract name has at most ${MAX_ABSTRACT_BYTES} bytes`)
  return { ok: true, value: { type: 'abstract', path: Buffer.concat([Buffer.of(AT), name]), name } }
}

function refuse(why: string): AddressResult {
  return { ok: false, why }
}
