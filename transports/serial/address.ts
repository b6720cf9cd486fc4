/**
 * What a serial address says, and what options may say instead: a device, a character-device
 * socket, a TCP port or a command. Throws ERR_ADDRESS_INVALID that shows the address, or
 * ERR_BAD_ARGUMENT that names the option.
 */
import { resolve } from 'node:path'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { joinWords, splitWords } from '../internal/command-words.ts'
import { isHost, parseTcpAddress } from '../internal/tcp-address.ts'
import { accessIn, ACCESS_NAMES, checkAccess, formatAccess, type SocketAccess } from '../internal/socket-access.ts'
import { checkSocketPath, formatUnixAddress, parseUnixAddress, readQuery } from '../internal/unix-address.ts'
import type { LineSettings } from './tty.ts'

/** What is opened. */
export type Place =
  | { readonly kind: 'device'; readonly path: string; readonly settings: LineSettings }
  | { readonly kind: 'unix'; readonly path: string; readonly listen: boolean; readonly access: SocketAccess }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly listen: boolean }
  | { readonly kind: 'exec'; readonly command: string; readonly args: readonly string[] }

/** From the slowest that anybody still has to the fastest USB adapter. */
const MIN_BAUD = 50
const MAX_BAUD = 12_000_000
const DEFAULTS: LineSettings = { baud: 115_200, parity: 'none', stopBits: 1, flow: 'none' }

type Invalid = (what: string) => TrunkError

/** The place that `address` names. */
export function parseSerialAddress(address: string): Place {
  const invalid: Invalid = (what) =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no serial address: ${what}`)
  const scheme = /^serial(?:\+(?:unix|tcp|exec))?:/.exec(address)?.[0]
  const rest = address.slice(scheme?.length)
  switch (scheme) {
    case 'serial:':
      return parseDevice(rest, invalid)
    case 'serial+unix:': {
      const [path, query] = withQuery(rest, LISTEN_UNIX, invalid)
      const access = accessIn(query)
      if (typeof access === 'string') throw invalid(access)
      const listen = query.has('listen')
      if (!listen && query.size > 0) throw invalid('mode and group are those of the socket that ?listen makes')
      return { kind: 'unix', path: parseUnixAddress(`unix:${path}`, address), listen, access }
    }
    case 'serial+tcp:': {
      const [place, query] = withQuery(rest, LISTEN, invalid)
      const { host, port } = parseTcpAddress(`tcp:${place}`, address)
      const listen = query.has('listen')
      if (port === 0 && !listen) throw invalid('port 0 cannot be connected to')
      return { kind: 'tcp', host, port, listen }
    }
    case 'serial+exec:': {
      const [command = '', ...args] = splitWords(rest, address)
      if (command === '') throw invalid('it names no command')
      return { kind: 'exec', command, args }
    }
    default:
      throw invalid('it must be serial:///PATH, serial+unix:///PATH, serial+tcp://HOST:PORT or serial+exec:COMMAND')
  }
}

const LISTEN: ReadonlySet<string> = new Set(['listen'])
const LISTEN_UNIX: ReadonlySet<string> = new Set([...LISTEN, ...ACCESS_NAMES])

/**
 * What is before the question mark, and the options behind it: `listen`, which has no value, and
 * others, which have one.
 */
function withQuery(
  rest: string,
  known: ReadonlySet<string>,
  invalid: Invalid,
): [place: string, query: ReadonlyMap<string, string>] {
  const [place = '', ...queries] = rest.split('?')
  if (queries.length === 0) return [place, new Map()]
  const query = readQuery(queries.join('?'), known)
  if (typeof query === 'string') throw invalid(query)
  for (const [name, value] of query) {
    if (name === 'listen' ? value !== '' : value === '')
      throw invalid(name === 'listen' ? 'listen has no value' : `${name} must be ${name}=VALUE`)
  }
  return [place, query]
}

/** How a user would write it; what is as it is by default is left out. */
export function formatSerialAddress(place: Place): string {
  switch (place.kind) {
    case 'device': {
      const set = Object.entries(place.settings).filter(
        ([name, value]) => value !== DEFAULTS[name as keyof LineSettings],
      )
      const query = set.map(([name, value]) => `${name}=${String(value)}`).join('&')
      return `serial://${place.path.replace(/[%?#]/g, encodeURIComponent)}${query === '' ? '' : `?${query}`}`
    }
    case 'unix': {
      const query = place.listen ? `?${['listen', ...formatAccess(place.access)].join('&')}` : ''
      return `serial+${formatUnixAddress(place.path)}${query}`
    }
    case 'tcp':
      return `serial+tcp://${formatHostPort(place.host, place.port)}${place.listen ? '?listen' : ''}`
    case 'exec':
      return `serial+exec:${joinWords([place.command, ...place.args])}`
  }
}

function parseDevice(rest: string, invalid: Invalid): Place {
  const match = /^\/\/(\/[^?#]+)(?:\?([^?#]*))?$/.exec(rest)
  if (match === null)
    throw invalid('it must be serial:///PATH?OPTIONS, where % ? # in the path are written %25 %3F %23')
  const [, encoded = '', query] = match
  const options: Record<string, string> = {}
  for (const part of query?.split('&') ?? []) {
    const [name = '', value = '', ...more] = part.split('=')
    if (!SETTINGS.has(name))
      throw invalid(`${JSON.stringify(name)} is no option; there are ${[...SETTINGS].join(', ')}`)
    if (Object.hasOwn(options, name)) throw invalid(`${name} is given twice`)
    if (more.length > 0 || value === '') throw invalid(`${name} must be ${name}=VALUE`)
    options[name] = value
  }
  const number = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : /^[1-9][0-9]*$/.test(text) ? Number(text) : NaN
  const { baud, dataBits, stopBits, ...words } = options
  try {
    const numbers = { baud: number(baud), dataBits: number(dataBits), stopBits: number(stopBits) }
    return deviceAt(decodeURIComponent(encoded), { ...words, ...numbers })
  } catch (error) {
    if (error instanceof TrunkError) throw invalid(error.message)
    // the only other error here is that of decodeURIComponent
    throw invalid('a percent sign in a path is written %25')
  }
}

const SETTINGS: ReadonlySet<string> = new Set(['baud', 'parity', 'dataBits', 'stopBits', 'flow'])

/** A device and how its line is set up, checked; throws ERR_BAD_ARGUMENT. */
export function deviceAt(path: unknown, settings: Readonly<Record<string, unknown>>): Place {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw badArgument(`path must be that of a device, not ${JSON.stringify(path)}`)
  }
  const { baud = DEFAULTS.baud, parity = DEFAULTS.parity, dataBits = 8, stopBits = DEFAULTS.stopBits } = settings
  const { flow = DEFAULTS.flow } = settings
  if (dataBits !== 8) throw badArgument(`dataBits must be 8, not ${String(dataBits)}: frames use all of a byte`)
  if (parity !== 'none' && parity !== 'even' && parity !== 'odd') {
    throw badArgument(`parity must be none, even or odd, not ${String(parity)}`)
  }
  if (stopBits !== 1 && stopBits !== 2) throw badArgument(`stopBits must be 1 or 2, not ${String(stopBits)}`)
  if (flow === 'xonxoff') {
    throw badArgument(
      'flow must be none or rtscts: with xonxoff the line takes the bytes 0x11 and 0x13 out of the frames',
    )
  }
  if (flow !== 'none' && flow !== 'rtscts') throw badArgument(`flow must be none or rtscts, not ${String(flow)}`)
  const checked = { baud: requireInteger('baud', baud, MIN_BAUD, MAX_BAUD), parity, stopBits, flow } as const
  return { kind: 'device', path: resolve(path), settings: checked }
}

/** A character-device socket, checked; throws ERR_BAD_ARGUMENT. */
export function socketAt(path: unknown, listen: unknown, mode: unknown, group: unknown): Place {
  requireBoolean(listen)
  const access = checkAccess(mode, group)
  if (!listen && (mode !== undefined || group !== undefined))
    throw badArgument('mode and group are those of the socket that listen makes')
  return { kind: 'unix', path: checkSocketPath(path), listen, access }
}

function requireBoolean(listen: unknown): asserts listen is boolean {
  if (typeof listen !== 'boolean') throw badArgument(`listen must be true or false, not ${String(listen)}`)
}

/** A TCP port, checked; throws ERR_BAD_ARGUMENT. */
export function portAt(host: unknown, port: unknown, listen: unknown): Place {
  requireBoolean(listen)
  if (typeof host !== 'string' || !isHost(host))
    throw badArgument(`host must be a name or an address, not ${String(host)}`)
  return { kind: 'tcp', host, port: requireInteger('port', port, listen ? 0 : 1, 65_535), listen }
}

/** A command, checked; throws ERR_BAD_ARGUMENT. */
export function commandAt(command: unknown, args: readonly unknown[]): Place {
  const words: string[] = []
  for (const word of [command, ...args]) {
    if (typeof word !== 'string' || word.includes('\0'))
      throw badArgument(`${JSON.stringify(word)} cannot be a word of a command`)
    words.push(word)
  }
  const [first = '', ...others] = words
  if (first === '') throw badArgument('command must not be empty')
  return { kind: 'exec', command: first, args: others }
}
