/**
 * A terminal (a UART, a USB adapter, a pseudo-terminal) through the package `serialport`, which is
 * loaded here and nowhere else, and only when one is opened.
 *
 * The package opens the device, takes a lock on it that other openers of its kind respect, and sets
 * it up raw. Its own reading and writing are not used (13.0): a hang-up while bytes arrive makes
 * them spin for ever, and waiting to write takes the place of waiting to read. Its poller is used
 * only where there is no native addon (readiness.ts). Promises: ERR_TRANSPORT_UNAVAILABLE where the
 * package is missing, ERR_BUSY where the lock is taken; a hang-up is ERR_LINK_LOST. What arrived
 * before it was opened is lost: the package flushes it.
 */
import { readSync, writeSync } from 'node:fs'
import type { SerialPort } from 'serialport'
import { TrunkError } from '../../src/contracts/errors.ts'
import { loadNative, type NativeDevices } from '../../src/native/load.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import type { Device, Ready } from './device-duplex.ts'
import { deviceLost } from './device-errors.ts'
import { addonReadiness, packageReadiness, type PackagePoller } from './readiness.ts'

/** How the line is set up. */
export interface LineSettings {
  readonly baud: number
  readonly parity: 'none' | 'even' | 'odd'
  readonly stopBits: 1 | 2
  readonly flow: 'none' | 'rtscts'
}

/**
 * What the package gives for an open port, as far as it is used here, on systems with descriptors.
 */
interface Port {
  readonly fd: number
  readonly poller: PackagePoller
  flush(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens `path`; rejects with ERR_TRANSPORT_UNAVAILABLE, or with the package's own error, which has
 * no code.
 */
export async function openTty(
  path: string,
  { baud, parity, stopBits, flow }: LineSettings,
): Promise<(ready: Ready) => Device> {
  const binding = await loadBinding(path)
  const port: object = await binding.open({
    path,
    baudRate: baud,
    parity,
    stopBits,
    dataBits: 8,
    rtscts: flow === 'rtscts',
    lock: true,
    hupcl: false,
  })
  if (!isPort(port)) {
    throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', `${path}: serial ports of this system are not supported`)
  }
  try {
    // the package only ever sets HUPCL: a port that had it would lower its modem lines on close,
    // and reset what listens to them
    loadNative()?.keepLines(port.fd)
  } catch (error) {
    await port.close()
    throw error
  }
  return (ready) => {
    try {
      return ttyDevice(port, ready)
    } catch (error) {
      void port.close().catch(() => undefined) // why it cannot be watched is what is told
      throw error
    }
  }
}

async function loadBinding(path: string): Promise<(typeof SerialPort)['binding']> {
  try {
    return (await import('serialport')).SerialPort.binding
  } catch (error) {
    // import() says one thing, require() in the bundled command line another
    const missing = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(errnoOf(error) ?? '')
    const why = missing ? 'it is not installed (npm install serialport)' : 'it does not load here'
    const message = `${path} is a terminal, which takes the package serialport: ${why}`
    throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', message, { cause: error })
  }
}

function isPort(port: object): port is Port {
  return 'fd' in port && typeof port.fd === 'number' && 'poller' in port
}

function ttyDevice(port: Port, ready: Ready): Device {
  const { fd } = port
  const native = loadNative()
  const readiness = native === undefined ? packageReadiness(port.poller, ready) : addonReadiness(native, fd, ready)
  const bytes = native ?? nodeBytes
  return {
    read(into) {
      const read = bytes.read(fd, into)
      if (read === 0) throw deviceLost(undefined)
      return read
    },
    write: (chunks) => bytes.write(fd, chunks),
    want(events) {
      readiness.want(events)
    },
    async close(drop) {
      readiness.close()
      // else the kernel waits for up to half a minute while the other end holds it back
      // a device that is gone has nothing to drop
      if (drop) await port.flush().catch(() => undefined)
      await port.close()
    },
  }
}

/**
 * What the addon does, by Node: a call for each 4 KiB, and an error that is thrown for each that
 * would have to wait.
 */
const nodeBytes: Pick<NativeDevices, 'read' | 'write'> = {
  read: (fd, into) => unlessLater(() => readSync(fd, into, 0, into.byteLength, null)),
  write(fd, chunks) {
    let taken = 0
    for (const chunk of chunks) {
      const written = chunk.byteLength === 0 ? 0 : (unlessLater(() => writeSync(fd, chunk)) ?? 0)
      taken += written
      if (written < chunk.byteLength) break
    }
    return taken
  },
}

/** What `call` gives; undefined where it would have to wait. */
function unlessLater(call: () => number): number | undefined {
  try {
    return call()
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return undefined
    throw error
  }
}
