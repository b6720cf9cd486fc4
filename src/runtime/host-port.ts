/**
 * `HOST:PORT` as URLs write it: an IPv6 address in brackets, the percent sign before its zone as
 * `%25` (RFC 6874).
 */

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
