/**
 * `HOST:PORT` as URLs write it: an IPv6 address in brackets, the percent sign before its zone as
 * `%25` (RFC 6874); and the grammar of host names.
 */

/** Host and port as they are written, neither of them checked. */
export interface WrittenHostPort {
  readonly host: string
  /** True for a host in brackets, which is an IPv6 address. */
  readonly isBracketed: boolean
  /** What is after the last colon; undefined where there is none. */
  readonly port: string | undefined
}

const SHAPE = /^(?:\[([^[\]]*)\]|([^[\]:]*))(?::([^:]*))?$/

/** The parts of `HOST:PORT`, `[IPV6]:PORT` or a host alone; undefined for what is none of them. */
export function splitHostPort(text: string): WrittenHostPort | undefined {
  const found = SHAPE.exec(text)
  if (found === null) return undefined
  const [, bracketed, plain = '', port] = found
  const isBracketed = bracketed !== undefined
  return { host: isBracketed ? fromBrackets(bracketed) : plain, isBracketed, port }
}

/** A host name's labels: letters, digits, `-` and `_`, at most 63 each. */
const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/
/**
 * What resolvers take for an IPv4 address in some old notation: the last label is a number (URL
 * standard, "ends in a number").
 */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/

/**
 * A host name in small letters and without the final dot; undefined for what is none: a path, text
 * with a NUL, letters beyond ASCII, or a number in disguise such as `127.1`, `0x7f.1` and
 * `2130706433`.
 */
export function canonicalName(text: string): string | undefined {
  // toLowerCase could turn a letter beyond ASCII into one within (the Kelvin sign is one).
  if (!/^[\x21-\x7e]+$/.test(text)) return undefined
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase()
  return NAME.test(name) && !ENDS_IN_NUMBER.test(name) ? name : undefined
}

/** The host and the port, written. */
export function formatHostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host.replace('%', '%25')}]` : host}:${String(port)}`
}

/**
 * The address that stands in brackets. A zone may be written as URLs have it, `%25eth0`, and as
 * everybody else does, `%eth0`.
 */
export function fromBrackets(text: string): string {
  return text.replace('%25', '%')
}
