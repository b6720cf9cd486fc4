/**
 * What `-L` and `-R` are given: `[BIND:]PORT:HOST:PORT`; for a proxy, `-D` and `-R`, `[BIND:]PORT`.
 * IPv6 addresses in brackets.
 */
import { InvalidArgumentError } from 'commander'
import { fromBrackets } from '../../runtime/host-port.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { usageError } from '../failure.ts'

/** Where a forward listens. */
export interface ListenSpec {
  /** Undefined for the default, which is loopback, {@link EVERYWHERE} for every address. */
  readonly bind: string | undefined
  /** 0 lets the system choose. */
  readonly port: number
  /** A unix socket, or `@NAME`; then the others say nothing. */
  readonly path?: Uint8Array
}

/** One forward. */
export interface ForwardSpec extends ListenSpec {
  readonly host: string
  readonly hostPort: number
  /** A unix socket, or `@NAME`; then the two say nothing. */
  readonly toPath?: Uint8Array
}

/** As ssh has it; nothing before the colon means the same. */
export const EVERYWHERE = '*'

const SPEC = /^(?:(\[[^\]]+\]|[^:[\]]*):)?(\d{1,5}):(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/
const PROXY_SPEC = /^(?:(\[[^\]]+\]|[^:[\]]*):)?(\d{1,5})$/
const MAX_PORT = 65_535

function withoutBrackets(host: string): string {
  return host.startsWith('[') ? fromBrackets(host.slice(1, -1)) : host
}

/** A field that begins as the path of a unix socket, or as an abstract name. */
const HAS_PATH = /(?:^|:)[/@]/
/** One field: in brackets, or up to a colon that no backslash precedes, as with ssh. */
const FIELD = /(\[[^\]]*\]|(?:\\[^]|[^:\\])*)(:|$)/y

function fieldsOf(text: string): string[] {
  const fields: string[] = []
  FIELD.lastIndex = 0
  for (;;) {
    const found = FIELD.exec(text)
    if (found === null) throw new InvalidArgumentError('A backslash stands before a colon or a backslash.')
    fields.push(found[1] ?? '')
    if (found[2] === '') return fields
  }
}

/** `[BIND:]PORT` or a path, then `HOST:PORT` or a path; at least one of the two is a path. */
function parsePaths(text: string): ForwardSpec {
  const fields = fieldsOf(text)
  const isPath = (field: string | undefined): field is string => field !== undefined && /^[/@]/.test(field)
  const bytes = (field: string): Buffer => toBytes(byteString(field.replaceAll(/\\([^])/g, '$1')))
  const wrong = (): Error => new InvalidArgumentError('It is written PORT|/PATH:HOST:PORT|/PATH.')
  const first = fields[0]
  let at: ListenSpec | undefined
  if (isPath(first)) at = { bind: undefined, port: 0, path: bytes(first) }
  else {
    const last = isPath(fields[1]) ? 1 : 2
    at = proxySpec(fields.slice(0, last).join(':'))
    fields.splice(1, last - 1)
  }
  if (at === undefined) throw wrong()
  const [, to, port, ...rest] = fields
  if (rest.length > 0) throw wrong()
  if (isPath(to) && port === undefined) return { ...at, host: '', hostPort: 0, toPath: bytes(to) }
  if (to === undefined || port === undefined || [to, port].some(isPath)) throw wrong()
  // the other side is one of a forward as any other
  const { host, hostPort } = parseForward(`0:${to}:${port}`)
  return { ...at, host, hostPort }
}

/** Parses one forward; wrong usage where it is none. */
export function parseForward(text: string): ForwardSpec {
  if (HAS_PATH.test(text)) return parsePaths(text)
  const [, bind, port = '', host = '', hostPort = ''] = SPEC.exec(text) ?? []
  if (host === '') throw new InvalidArgumentError('It is written [BIND:]PORT:HOST:PORT.')
  const spec = { ...listenSpec(bind, port), host: withoutBrackets(host), hostPort: Number(hostPort) }
  if (spec.hostPort < 1 || spec.hostPort > MAX_PORT) {
    throw new InvalidArgumentError(`The port ${hostPort} is not one of 1 to ${MAX_PORT}.`)
  }
  return spec
}

function listenSpec(bind: string | undefined, port: string): ListenSpec {
  if (Number(port) > MAX_PORT) throw new InvalidArgumentError(`The port ${port} is above ${MAX_PORT}.`)
  return { bind: bind === undefined ? undefined : withoutBrackets(bind === '' ? EVERYWHERE : bind), port: Number(port) }
}

/** Parses where a proxy listens; undefined where it is written otherwise. */
export function proxySpec(text: string): ListenSpec | undefined {
  const [, bind, port] = PROXY_SPEC.exec(text) ?? []
  return port === undefined ? undefined : listenSpec(bind, port)
}

/** Parses what `-D` is given; wrong usage where it is none. */
export function parseProxy(text: string): ListenSpec {
  const spec = proxySpec(text)
  if (spec === undefined) throw new InvalidArgumentError('It is written [BIND:]PORT.')
  return spec
}

/** True for an address that only this machine reaches. */
export function isLoopback(bind: string | undefined): boolean {
  return bind === undefined || bind === 'localhost' || bind === '::1' || /^127(\.\d{1,3}){3}$/.test(bind)
}

/** The options that all proxies of a command share. */
export interface ProxyFlags {
  allow?: string[]
  http?: boolean
  proxyAuthFile?: string
  insecureBind?: boolean
}

/**
 * Wrong usage for an option of a proxy where there is none: it would be dropped in silence. `what`
 * are the options that make one.
 */
export function requireNoFlags({ allow = [], http, proxyAuthFile, insecureBind }: ProxyFlags, what: string): void {
  const given = [
    allow.length > 0 && '--allow',
    http === true && '--http',
    proxyAuthFile !== undefined && '--proxy-auth-file',
    insecureBind === true && '--insecure-bind',
  ].find((name) => name !== false)
  if (given !== undefined) throw usageError(`${given} is for ${what}`)
}
