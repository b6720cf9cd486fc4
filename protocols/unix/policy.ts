/**
 * Which unix sockets a peer may use. Everything is denied until a rule allows it.
 *
 * Rules: `/run/docker.sock` · `/run/user/1000/app/*.sock` · `/srv/sockets/` (everything below it) ·
 * `@name` · `@prefix-*`. A star stands in the last name only, for any bytes, none included.
 *
 * A rule's folder is the owner's word: it is found as it is written, by links too. What a peer
 * names below it is walked by descriptors without following any link, so that neither a link nor a
 * renamed folder leads out of it.
 */
import { realpathSync } from 'node:fs'
import { badArgument } from '../../src/contracts/errors.ts'
import { splitPath } from '../filesystem/path.ts'
import { parseAddress, pathBytes, type UnixAddress, type UnixPath } from './address.ts'

/** A socket that a rule allows: in `folder`, below the names that lead to it. */
export interface AllowedPlace {
  readonly folder: Buffer
  /** The last one is the socket's. */
  readonly names: readonly Uint8Array[]
}

/** A checked allow-list. */
export interface SocketPolicy {
  /** Where a file is that some rule allows; undefined where none does. */
  placeOf(address: Extract<UnixAddress, { type: 'file' }>): AllowedPlace | undefined
  allowsAbstract(name: Uint8Array): boolean
}

/** What a name has to be: the bytes before and behind a star, or all of them. */
interface Pattern {
  readonly before: Buffer
  readonly behind: Buffer | undefined
}

type Rule =
  | { readonly type: 'abstract'; readonly pattern: Pattern }
  | { readonly type: 'socket'; readonly folder: Buffer; readonly pattern: Pattern }
  | { readonly type: 'below'; readonly folder: Buffer }

const SLASH = 0x2f
const STAR = 0x2a

/** Checks `allow` and gives the policy; throws ERR_BAD_ARGUMENT that names the first bad rule. */
export function socketPolicy(allow: readonly UnixPath[], option = 'allow'): SocketPolicy {
  if (!Array.isArray(allow)) throw badArgument(`${option} must be a list of rules, not ${typeof allow}`)
  const rules = allow.map((rule: unknown) => parseRule(rule, option))
  return {
    allowsAbstract: (name) => rules.some((rule) => rule.type === 'abstract' && matches(rule.pattern, name)),
    placeOf(address) {
      for (const rule of rules) {
        const place = rule.type === 'abstract' ? undefined : placeBy(rule, address)
        if (place !== undefined) return place
      }
      return undefined
    },
  }
}

function placeBy(
  rule: Exclude<Rule, { type: 'abstract' }>,
  { path, names }: Extract<UnixAddress, { type: 'file' }>,
): AllowedPlace | undefined {
  const { folder } = rule
  const lastName = names.at(-1)
  if (lastName === undefined || (rule.type === 'socket' && !matches(rule.pattern, lastName))) return undefined
  for (const written of spellings(folder)) {
    const rest = namesBelow(written, path)
    if (rest === undefined || (rule.type === 'socket' && rest.length !== 1)) continue
    return { folder, names: rest }
  }
  return undefined
}

/**
 * A folder as the rule has it, and as it really is: `/var/run/docker.sock` is `/run/docker.sock`,
 * too.
 */
function* spellings(folder: Buffer): Generator<Buffer> {
  yield folder
  let real: Buffer
  try {
    real = realpathSync.native(folder, 'buffer')
  } catch {
    // it is not there, and neither is a socket in it
    return
  }
  if (!real.equals(folder)) yield real
}

/** The names of `path` below `folder`; undefined where it is not below it. */
function namesBelow(folder: Buffer, path: Uint8Array): readonly Uint8Array[] | undefined {
  const prefix = folder.at(-1) === SLASH ? folder : Buffer.concat([folder, Buffer.of(SLASH)])
  if (path.byteLength <= prefix.byteLength || !prefix.equals(path.subarray(0, prefix.byteLength))) return undefined
  const split = splitPath(path.subarray(prefix.byteLength))
  return split.ok ? split.names : undefined
}

function matches({ before, behind }: Pattern, name: Uint8Array): boolean {
  if (behind === undefined) return before.equals(name)
  return (
    name.byteLength >= before.byteLength + behind.byteLength &&
    before.equals(name.subarray(0, before.byteLength)) &&
    behind.equals(name.subarray(name.byteLength - behind.byteLength))
  )
}

function parseRule(rule: unknown, option: string): Rule {
  if (typeof rule !== 'string' && !(rule instanceof Uint8Array)) {
    throw badArgument(`${option} has a rule that is no path: ${String(rule)}`)
  }
  const bad = (why: string) => badArgument(`${option} has a bad rule "${Buffer.from(rule).toString()}": ${why}`)
  const given = pathBytes(rule)
  if (given === undefined) throw bad('a path must not contain a lone surrogate')
  const bytes = Buffer.from(given)
  const isBelow = bytes[0] === SLASH && bytes.at(-1) === SLASH
  if (isBelow && bytes.byteLength === 1) return { type: 'below', folder: bytes }
  const parsed = parseAddress(isBelow ? bytes.subarray(0, -1) : bytes)
  if (!parsed.ok) throw bad(parsed.why)
  const star = bytes.indexOf(STAR)
  if (star !== -1 && (bytes.indexOf(STAR, star + 1) !== -1 || bytes.indexOf(SLASH, star) !== -1)) {
    throw bad('one star may stand in the last name')
  }
  if (parsed.value.type === 'abstract') return { type: 'abstract', pattern: patternOf(Buffer.from(parsed.value.name)) }
  if (isBelow) return { type: 'below', folder: bytes.subarray(0, -1) }
  const slash = bytes.lastIndexOf(SLASH)
  return {
    type: 'socket',
    folder: bytes.subarray(0, Math.max(1, slash)),
    pattern: patternOf(bytes.subarray(slash + 1)),
  }
}

function patternOf(name: Buffer): Pattern {
  const star = name.indexOf(STAR)
  if (star === -1) return { before: name, behind: undefined }
  return { before: name.subarray(0, star), behind: name.subarray(star + 1) }
}
