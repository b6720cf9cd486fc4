/**
 * A character device that is no terminal, above all a guest's virtio port, through the native
 * addon. Assumes that the descriptor was opened without blocking. Nothing is known of who is at its
 * other end.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { nativeStatus, type NativeAddon } from '../../src/native/load.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import type { Device, Ready } from './device-duplex.ts'
import { addonReadiness, type Readiness } from './readiness.ts'

/** The addon, or ERR_TRANSPORT_UNAVAILABLE that says what is missing. */
export function requireAddon(path: string): NativeAddon {
  const status = nativeStatus()
  if ('native' in status) return status.native
  throw new TrunkError(
    'ERR_TRANSPORT_UNAVAILABLE',
    `${path} is no terminal, which takes the native addon: ${status.problem}`,
  )
}

/**
 * The device of an open descriptor, which it closes. Throws ERR_UNSUPPORTED for one that cannot be
 * waited for (a disk, /dev/null).
 */
export function bareDevice(native: NativeAddon, fd: number, path: string, ready: Ready): Device {
  const readiness = watching(native, fd, path, ready)
  return {
    read: (into) => native.read(fd, into),
    write: (chunks) => native.write(fd, chunks),
    want(events) {
      readiness.want(events)
    },
    async close() {
      readiness.close()
      native.close(fd)
    },
  }
}

function watching(native: NativeAddon, fd: number, path: string, ready: Ready): Readiness {
  try {
    return addonReadiness(native, fd, ready)
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error
    const message = `the device ${path} is no line: nothing ever arrives at it`
    throw new TrunkError('ERR_UNSUPPORTED', message, { cause: error, scope: 'link' })
  }
}
