/**
 * The head of a request to an HTTP proxy (RFC 9110, 9112): `CONNECT HOST:PORT`, or a method with an
 * absolute URL, which becomes the head that its server is sent. Strict: what two programs could
 * read in two ways is refused.
 */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { destinationIn, latin1, MORE, type Destination, type Parsed } from './parsed.ts'

/** A longer head is none. */
export const MAX_HEAD_BYTES: number = 8 * 1024
const HTTP_PORT = 80

/** The status of answers. */
export const STATUS = {
  established: 200,
  badRequest: 400,
  denied: 403,
  notAllowed: 405,
  loginRequired: 407,
  timeout: 408,
  tooLarge: 431,
  badGateway: 502,
  gatewayTimeout: 504,
} as const

const REASON: Readonly<Record<number, string>> = {
  200: 'Connection established',
  400: 'Bad Request',
  403: 'Forbidden',
  405: 'Method Not Allowed',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  502: 'Bad Gateway',
  504: 'Gateway Timeout',
}

/** How long a request's body is: bytes, or in chunks that say so themselves. */
export type BodyLength = number | 'chunked'

/** A request that was understood. */
export interface HttpRequest {
  readonly to: Destination
  /**
   * What the client says that it is: `user:password`, each byte a character; undefined where it
   * does not.
   */
  readonly login: string | undefined
  /**
   * Of a request that is passed on: what its server is sent, and how much of what follows belongs
   * to it. Undefined for CONNECT.
   */
  readonly passed: { readonly head: Uint8Array; readonly body: BodyLength } | undefined
}

/**
 * The value begins with what is no blank: with two ways to split a run of blanks, a line without an
 * end cost the square of its length.
 */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?$/

/**
 * Without the blanks at its end, which are two characters and no others: 0xa0 ends a letter in
 * UTF-8.
 */
function withoutBlanks(value: string): string {
  let end = value.length
  while (value[end - 1] === ' ' || value[end - 1] === '\t') end -= 1
  return value.slice(0, end)
}

type Fields = readonly (readonly [name: string, value: string])[]

/**
 * Parses the head of a request.
 * @param http whether a method with an absolute URL is served as well
 */
export function parseHead(bytes: Uint8Array, http: boolean): Parsed<HttpRequest> {
  const text = latin1(bytes.subarray(0, MAX_HEAD_BYTES))
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return bytes.byteLength < MAX_HEAD_BYTES ? MORE : bad('the head is too long', STATUS.tooLarge)
  const length = end + 4
  const [line = '', ...rest] = text.slice(0, end).split('\r\n')
  const [, method = '', target = '', minor = ''] = /^([A-Z]{1,32}) ([\x21-\x7e]+) HTTP\/1\.([01])$/.exec(line) ?? []
  if (method === '') return bad('the first line is not a request of HTTP/1.1')
  const fields: [string, string][] = []
  for (const field of rest) {
    const [, name, value = ''] = FIELD.exec(field) ?? []
    if (name === undefined) return bad('a line of the head is not a field')
    fields.push([name.toLowerCase(), withoutBlanks(value)])
  }
  const login = loginOf(fields)
  if (method === 'CONNECT') {
    const to = destinationIn(target)
    if (to === undefined) return bad('CONNECT is given HOST:PORT')
    return { state: 'done', value: { to, login, passed: undefined }, length }
  }
  if (!http) return bad('only CONNECT is served', STATUS.notAllowed)
  const [, authority = '', path = ''] = /^http:\/\/([^/?#]+)([/?][^#]*)?$/i.exec(target) ?? []
  const to = destinationIn(authority, HTTP_PORT)
  if (to === undefined) return bad('the request is given http://HOST[:PORT]/PATH')
  const body = bodyOf(fields, minor)
  if (body === undefined) return bad('the length of the body is not clear')
  const resource = path.startsWith('/') ? path : `/${path}`
  const head = passedHead(`${method} ${resource} HTTP/1.${minor}`, hostField(to), fields)
  return { state: 'done', value: { to, login, passed: { head, body } }, length }
}

/** What `Proxy-Authorization` holds. */
function loginOf(fields: Fields): string | undefined {
  const given = valuesOf(fields, 'proxy-authorization')
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(given[0] ?? '') ?? []
  return encoded === undefined || given.length > 1 ? undefined : Buffer.from(encoded, 'base64').toString('latin1')
}

/** Undefined where two readers could disagree, as in request smuggling. */
function bodyOf(fields: Fields, minor: string): BodyLength | undefined {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  if (codings.length > 0) {
    const chunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked'
    return chunked && lengths.length === 0 && minor === '1' ? 'chunked' : undefined
  }
  const [length = '0'] = lengths
  return lengths.length <= 1 && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

function valuesOf(fields: Fields, name: string): string[] {
  return fields.filter(([known]) => known === name).map(([, value]) => value)
}

/** Those that are between a client and its proxy only, besides what `Connection` names. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'upgrade', 'host']

/** One request a connection: whatever comes behind it may be for another server. */
function passedHead(line: string, host: string, fields: Fields): Uint8Array {
  const named = valuesOf(fields, 'connection').flatMap((value) => value.toLowerCase().split(/[\s,]+/))
  // what frames the body is not anybody's to take away
  const framing = ['content-length', 'transfer-encoding']
  const dropped = new Set([...named.filter((name) => !framing.includes(name)), ...HOP_BY_HOP])
  const kept = fields.filter(([name]) => !dropped.has(name)).map(([name, value]) => `${name}: ${value}`)
  const lines = [line, `host: ${host}`, ...kept, 'via: 1.1 trunkline', 'connection: close', '', '']
  return Buffer.from(lines.join('\r\n'), 'latin1')
}

function hostField({ host, port }: Destination): string {
  const written = formatHostPort(host, port)
  return port === HTTP_PORT ? written.slice(0, -`:${HTTP_PORT}`.length) : written
}

function bad(why: string, reply: number = STATUS.badRequest): { state: 'bad'; why: string; reply: number } {
  return { state: 'bad', why, reply }
}

/** That the connection is established: what follows is its. */
export function establishedReply(): Uint8Array {
  return Buffer.from(`HTTP/1.1 200 ${REASON[STATUS.established]}\r\n\r\n`)
}

/** That there is none, and why. */
export function httpFailure(status: number, code: string, why: string): Uint8Array {
  const body = Buffer.from(`${code}: ${why}\n`)
  const lines = [
    `HTTP/1.1 ${status} ${REASON[status]}`,
    `x-trunkline-code: ${code}`,
    ...(status === STATUS.loginRequired ? ['proxy-authenticate: Basic realm="trunkline"'] : []),
    ...(status === STATUS.notAllowed ? ['allow: CONNECT'] : []),
    'content-type: text/plain; charset=utf-8',
    `content-length: ${body.byteLength}`,
    'connection: close',
    '',
    '',
  ]
  return Buffer.concat([Buffer.from(lines.join('\r\n')), body])
}
