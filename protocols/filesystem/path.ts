/**
 * Paths: bytes, `/` between names, always below the root. One spelling per file: no `.`, no `..`,
 * no empty name, so nothing has to be resolved and nothing can climb. Everything else is refused
 * before any system call, by client and server alike.
 */
import { TrunkError } from '../../src/contracts/errors.ts'

/**
 * A path below the root: `dir/name`. One leading `/` is allowed and means nothing; `''` and `'/'`
 * are the root itself. One `/` at the end says that a directory is meant: `dir/`.
 */
export type FilePath = string | Uint8Array

/** A user's path, checked. */
export interface ClientPath {
  /** What travels: without a slash at either end. */
  readonly bytes: Uint8Array
  /**
   * The user says that it is a directory. That does not travel: whoever has such a path must see to
   * it.
   */
  readonly saysFolder: boolean
}

/** Longest path in bytes: Linux's PATH_MAX. */
export const MAX_PATH_BYTES = 4096
/** Longest name in bytes: NAME_MAX of every file system in use. */
export const MAX_NAME_BYTES = 255

export const SLASH: number = 0x2f
/** Most names in a path: bounds the time of the walk, which holds one directory at a time. */
export const MAX_PATH_DEPTH = 512

const DOT = 0x2e
const BACKSLASH = 0x5c

/** Text with one has no bytes: it would name something else. */
export const LONE_SURROGATE: RegExp = /\p{Surrogate}/u
const utf8 = new TextEncoder()

/** A path, or why it is none. */
export type PathResult =
  | { readonly ok: true; readonly names: readonly Uint8Array[] }
  | { readonly ok: false; readonly why: string }

/** Splits a path into names. Copies nothing: the names alias `path`. Never throws. */
export function splitPath(path: Uint8Array): PathResult {
  if (path.byteLength > MAX_PATH_BYTES)
    return refuse(`a path has at most ${MAX_PATH_BYTES} bytes, not ${path.byteLength}`)
  const start = path[0] === SLASH ? 1 : 0
  if (path.byteLength === start) return { ok: true, names: [] }
  const names: Uint8Array[] = []
  for (let from = start; from <= path.byteLength;) {
    const slash = path.indexOf(SLASH, from)
    const to = slash === -1 ? path.byteLength : slash
    const name = path.subarray(from, to)
    const flaw = flawOf(name)
    if (flaw !== undefined) return refuse(`a path must not contain ${flaw}`)
    if (names.push(name) > MAX_PATH_DEPTH) return refuse(`a path has at most ${MAX_PATH_DEPTH} names`)
    from = to + 1
  }
  return { ok: true, names }
}

/**
 * What is wrong with a name in a listing, which may be joined to a path here; undefined for a good
 * one. Never throws.
 */
export function nameFlaw(name: Uint8Array, platform: string = process.platform): string | undefined {
  // A byte like any other, and here it would make two names of one. Servers are never on Windows,
  // so paths may have it.
  if (platform === 'win32' && name.includes(BACKSLASH)) return 'a backslash'
  return flawOf(name)
}

function flawOf(name: Uint8Array): string | undefined {
  if (name.byteLength === 0) return 'an empty name'
  if (name.byteLength > MAX_NAME_BYTES) return `a name of more than ${MAX_NAME_BYTES} bytes`
  if (name[0] === DOT && (name.byteLength === 1 || (name.byteLength === 2 && name[1] === DOT)))
    return "the name '.' or '..'"
  if (name.includes(0)) return 'a zero byte'
  if (name.includes(SLASH)) return "'/' in a name"
  return undefined
}

/** The names of a path, or ERR_PATH_INVALID. */
export function requirePath(path: Uint8Array): readonly Uint8Array[] {
  const result = splitPath(path)
  if (!result.ok) throw new TrunkError('ERR_PATH_INVALID', result.why)
  return result.names
}

/** A user's path, checked before anything is sent: ERR_PATH_INVALID. */
export function clientPath(path: FilePath): ClientPath {
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw new TrunkError('ERR_BAD_ARGUMENT', `a path is a string or bytes, not ${typeof path}`)
  }
  // A lone surrogate has no bytes; encoding it would silently name another file.
  if (typeof path === 'string' && LONE_SURROGATE.test(path)) {
    throw new TrunkError('ERR_PATH_INVALID', 'a path must not contain a lone surrogate')
  }
  const given = typeof path === 'string' ? utf8.encode(path) : path
  const start = given[0] === SLASH ? 1 : 0
  const saysFolder = given.byteLength > start && given.at(-1) === SLASH
  const bytes = given.subarray(start, saysFolder ? -1 : undefined)
  // `//` is no spelling of the root
  if (saysFolder && bytes.byteLength === 0)
    throw new TrunkError('ERR_PATH_INVALID', 'a path must not contain an empty name')
  requirePath(given.subarray(0, start + bytes.byteLength))
  return { bytes, saysFolder }
}

/**
 * A path for people: lossy UTF-8, control characters shown as U+FFFD so that a hostile name cannot
 * drive a terminal.
 */
export function printablePath(path: Uint8Array): string {
  const text = new TextDecoder().decode(path)
  return text === '' ? '/' : text.replace(/\p{Cc}/gu, '\uFFFD')
}

function refuse(why: string): PathResult {
  return { ok: false, why }
}
