/**
 * Serial lines: `serial:///dev/ttyS1?baud=115200` (a terminal, through the package `serialport`),
 * `serial:///dev/virtio-ports/NAME` (a guest's virtio port), and the host's side of either:
 * `serial+unix:///run/vm/serial.sock` (a hypervisor's character-device socket; `?listen` where the
 * hypervisor connects), `serial+tcp://HOST:PORT` (likewise) and `serial+exec:COMMAND`.
 *
 * Promises: raw bytes both ways; one user of a device at a time, a second one gets ERR_BUSY; a
 * device that is not there yet is waited for; one that vanishes is ERR_LINK_LOST. A line is
 * connectionless, and cannot end one side alone: the session does without. `listen` opens the line,
 * and again whenever it is over. Bounds: `limits.connectTimeoutMs` for connecting,
 * `limits.closeTimeoutMs` for `close`.
 */
import { badArgument } from '../src/contracts/errors.ts'
import type { Link, Listener, Transport, TransportOptions, TransportTraits } from '../src/contracts/types.ts'
import type { ClosingLink } from './internal/socket-link.ts'
import {
  commandAt,
  deviceAt,
  formatSerialAddress,
  parseSerialAddress,
  portAt,
  socketAt,
  type Place,
} from './serial/address.ts'
import { acceptOnce, dialTcp, dialUnix, listenTcp, listenUnix, runCommand } from './serial/chardev-socket.ts'
import { listenByOpening, openInTime, type Line } from './serial/keep-open.ts'
import { stallingBytes } from './serial/stalling-driver.ts'
import { openDevice } from './serial/open-device.ts'

/** A device. What is set up is of use to a terminal only. */
export interface SerialDeviceOptions {
  /** `/dev/ttyS1`, `/dev/virtio-ports/NAME`. */
  path: string
  /** Bits a second, 50 to 12,000,000. @default 115200 */
  baud?: number
  /** The parity bit. @default 'none' */
  parity?: 'none' | 'even' | 'odd'
  /** Frames use all of a byte. */
  dataBits?: 8
  /** The number of stop bits. @default 1 */
  stopBits?: 1 | 2
  /** `rtscts` needs its two wires. @default 'none' */
  flow?: 'none' | 'rtscts'
}

/** A character-device socket of a hypervisor. */
export interface SerialSocketOptions {
  /** Its path, at most 107 bytes in full. */
  socket: string
  /** True where the hypervisor connects to us. @default false */
  listen?: boolean
  /**
   * Of the socket that is made for listening: permission bits, such as 0o660. @default 0o600, with
   * a group 0o660
   */
  mode?: number
  /** Of the socket that is made for listening: a group's name or number. */
  group?: string
}

/** A character device of a hypervisor over TCP. */
export interface SerialTcpOptions {
  /** Name, IPv4 address, or IPv6 address without brackets. @default '127.0.0.1' */
  host?: string
  /** 0 only for listening: the kernel chooses. */
  port: number
  /** True where the hypervisor connects to us. @default false */
  listen?: boolean
}

/** A command whose stdin and stdout are the line. */
export interface SerialExecOptions {
  /** A program, looked up in PATH; no shell is involved. */
  command: string
  /** Its arguments, one each; nothing is split or expanded. @default none */
  args?: readonly string[]
}

/** What {@link serial} takes in place of an address: one of four kinds of line. */
export type SerialOptions = SerialDeviceOptions | SerialSocketOptions | SerialTcpOptions | SerialExecOptions

/**
 * What a line without a known speed takes in a few milliseconds, and what it should not be given
 * less than.
 */
const MAX_FRAME_BYTES = 16 * 1024
const MIN_FRAME_BYTES = 128
/** How long one frame of a slow line may take: a small message waits no longer for a large one. */
const FRAME_MS = 50
/** With start and stop bit. */
const BITS_PER_BYTE = 10

/**
 * A serial transport. Throws ERR_ADDRESS_INVALID for an address that is none, ERR_BAD_ARGUMENT for
 * bad options.
 * @example serve(serial({ path: '/dev/virtio-ports/trunkline' }), { protocols })
 */
export function serial(address: string | SerialOptions): Transport {
  const place = typeof address === 'string' ? parseSerialAddress(address) : checkOptions(address)
  const written = formatSerialAddress(place)
  const line: Line = { address: written, open: opener(place, written), retryableCodes: retryableCodes(place) }
  const listen = listener(place, written)
  return {
    scheme: place.kind === 'device' ? 'serial' : `serial+${place.kind}`,
    address: written,
    traits: traitsOf(place),
    connect: (options): Promise<Link> =>
      listen === undefined ? openInTime(line, options) : acceptOnce(listen, written, options),
    listen: (options) => (listen === undefined ? listenByOpening(line, options) : listen(options)),
  }
}

function checkOptions(options: SerialOptions): Place {
  const given: unknown = options
  if (typeof given !== 'object' || given === null) throw badArgument('serial takes an address or an object of options')
  if ('path' in options) {
    const { path, ...settings } = options
    return deviceAt(path, settings)
  }
  if ('socket' in options) return socketAt(options.socket, options.listen ?? false, options.mode, options.group)
  if ('command' in options) return commandAt(options.command, options.args ?? [])
  return portAt(options.host ?? '127.0.0.1', options.port, options.listen ?? false)
}

function opener(place: Place, address: string): (options: TransportOptions) => Promise<ClosingLink> {
  switch (place.kind) {
    case 'device':
      return (options) => openDevice(place.path, place.settings, options)
    case 'unix':
      return (options) => dialUnix(place.path, address, options)
    case 'tcp':
      return (options) => dialTcp(place.host, place.port, address, options)
    case 'exec':
      return (options) => runCommand(place.command, place.args, options)
  }
}

/** For a line that the hypervisor connects to us for. */
function listener(place: Place, address: string): ((options: TransportOptions) => Promise<Listener>) | undefined {
  if (place.kind === 'unix' && place.listen) return (options) => listenUnix(place, address, options)
  if (place.kind === 'tcp' && place.listen) return (options) => listenTcp(place, address, options)
  return undefined
}

const NOBODY_YET = new Set(['ERR_CONNECT_REFUSED', 'ERR_CONNECT_UNREACHABLE', 'ERR_CONNECT_TIMEOUT'])

/** What may pass by itself: the machine that the device belongs to is started later. */
function retryableCodes({ kind }: Place): ReadonlySet<string> {
  if (kind === 'exec') return new Set()
  return kind === 'device' ? new Set(['ERR_NOT_FOUND']) : NOBODY_YET
}

/** A device is a virtio port by its name: it cannot be asked before it is there. */
function traitsOf(place: Place): TransportTraits {
  const virtio = place.kind === 'device' && /^\/dev\/(?:virtio-ports\/|vport)/.test(place.path)
  if (place.kind !== 'device' || virtio) {
    return { lossless: virtio, connected: false, preferredFrameBytes: MAX_FRAME_BYTES }
  }
  const bytes = Math.round((place.settings.baud / BITS_PER_BYTE) * (FRAME_MS / 1000))
  const preferredFrameBytes = Math.min(MAX_FRAME_BYTES, Math.max(MIN_FRAME_BYTES, bytes))
  const maxInFlightBytes = stallingBytes()
  return {
    lossless: false,
    connected: false,
    preferredFrameBytes,
    ...(maxInFlightBytes !== undefined && { maxInFlightBytes }),
  }
}
