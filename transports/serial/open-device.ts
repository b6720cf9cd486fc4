/**
 * Opening a character device and finding out what it is: a terminal is set up and carried with the
 * package `serialport`, everything else with the native addon. Promises: one opening of the device
 * for each link, since closing a virtio port throws away what it holds; nothing is left open where
 * it fails. ERR_NOT_FOUND where there is no such device, ERR_ACCESS, ERR_BUSY, ERR_UNSUPPORTED for
 * what is no line, ERR_IO for a dead one.
 */
import { close, constants, fstatSync, open, readFileSync, writeSync, type Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { isatty } from 'node:tty'
import { promisify } from 'node:util'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { TransportOptions } from '../../src/contracts/types.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { socketLink, type ClosingLink } from '../internal/socket-link.ts'
import { bareDevice, requireAddon } from './bare-device.ts'
import { DeviceDuplex, type Device, type Ready } from './device-duplex.ts'
import { deviceBusy, openFailure } from './device-errors.ts'
import { openTty, type LineSettings } from './tty.ts'

const { O_RDWR, O_NONBLOCK, O_NOCTTY } = constants

/** Opens the device and makes its link. */
export async function openDevice(
  path: string,
  settings: LineSettings,
  options: TransportOptions,
): Promise<ClosingLink> {
  const { clock, limits } = options
  const device = new DeviceDuplex(await attach(path, settings), clock)
  return socketLink({
    readable: device,
    writable: device,
    peer: path,
    clock,
    closeTimeoutMs: limits.closeTimeoutMs,
    halfClose: false,
  })
}

async function attach(path: string, settings: LineSettings): Promise<(ready: Ready) => Device> {
  const found = await inspect(path)
  const fd = await promisify(open)(path, O_RDWR | O_NONBLOCK | O_NOCTTY).catch((error: unknown) => {
    throw openFailure(error, path, found)
  })
  let kept = false
  try {
    if (isatty(fd)) return await attachTty(fd, path, settings)
    requireLife(fd, path)
    const native = requireAddon(path)
    kept = true
    return (ready) => keepOrClose(fd, () => bareDevice(native, fd, path, ready))
  } finally {
    // Not before the package has it open as well: a terminal's last close may lower its modem
    // lines.
    if (!kept) await promisify(close)(fd)
  }
}

/** A character device's facts. */
async function inspect(path: string): Promise<Stats> {
  const found = await stat(path).catch((error: unknown) => {
    throw openFailure(error, path)
  })
  if (found.isCharacterDevice()) return found
  const what = found.isSocket() ? `a socket: its address is serial+unix://${path}` : 'no character device'
  throw new TrunkError('ERR_UNSUPPORTED', `${path} is ${what}`, { scope: 'link' })
}

/**
 * A serial port that the kernel has a name but no hardware for can be opened, and fails at
 * everything else.
 */
function requireLife(fd: number, path: string): void {
  try {
    writeSync(fd, new Uint8Array(0))
  } catch (error) {
    if (errnoOf(error) === 'EIO') throw openFailure(error, path)
  }
}

/** @param fd the same device, to tell from it why the package could not open its own */
async function attachTty(fd: number, path: string, settings: LineSettings): Promise<(ready: Ready) => Device> {
  for (let isAgain = false; ; isAgain = true) {
    try {
      return await openTty(path, settings)
    } catch (error) {
      if (error instanceof TrunkError) throw error
      // The package's errors say why in their message alone.
      if (isLocked(fstatSync(fd))) throw deviceBusy(path, error)
      // who had locked it may have let go of it between the attempt and this look
      if (!isAgain) continue
      const message = `the device ${path} cannot be set up as a serial line of ${settings.baud} baud`
      throw new TrunkError('ERR_UNSUPPORTED', message, { cause: error, scope: 'link' })
    }
  }
}

/**
 * True where some process holds a lock on the file, as the kernel lists them:
 * `7: FLOCK  ADVISORY  WRITE 1234 00:18:5 0 EOF`.
 */
function isLocked({ dev, ino }: Stats): boolean {
  const hex = (part: number): string => part.toString(16).padStart(2, '0')
  const minor = (dev & 0xff) | ((dev >>> 12) & ~0xff)
  const name = `${hex((dev >>> 8) & 0xfff)}:${hex(minor)}:${ino}`
  try {
    const lines = readFileSync('/proc/locks', 'utf8').split('\n')
    return lines.some((line) => line.split(/\s+/).includes('FLOCK') && line.split(/\s+/).includes(name))
  } catch {
    // a system without that list
    return false
  }
}

function keepOrClose<T>(fd: number, use: () => T): T {
  try {
    return use()
  } catch (error) {
    close(fd)
    throw error
  }
}
