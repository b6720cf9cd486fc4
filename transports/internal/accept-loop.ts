/**
 * Takes the connections of a listening descriptor as they come, through the native addon. Promises:
 * each connection is handed on once; an error of one connection costs that connection only; while
 * accepting fails for want of something (a descriptor), it is asked again after a pause. Bounds: 64
 * connections in one turn of the event loop.
 */
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import type { TrunkError } from '../../src/contracts/errors.ts'
import type { NativeAccepted, NativeDescriptors } from '../../src/native/load.ts'
import { linkError, ofOneConnection } from '../../src/runtime/net-errors.ts'

/**
 * Pause after an error of accept(2) that stays until a descriptor is closed somewhere (EMFILE):
 * asking again at once would spin.
 */
const PAUSE_MS = 100
/** Connections taken in one go: the others get a turn of the event loop between. */
const MAX_AT_ONCE = 64

/** What {@link acceptLoop} calls. */
export interface Accepting {
  readonly clock: Clock
  /** A connection; its descriptor belongs to the callee, also where this throws. */
  readonly take: (connection: NativeAccepted) => void
  /** The watching has failed: no more will come. */
  readonly fail: (error: TrunkError) => void
}

/**
 * Begins to accept; the result ends it and closes `fd`. Throws the system's error, and has then
 * closed `fd`.
 */
export function acceptLoop(native: NativeDescriptors, fd: number, { clock, take, fail }: Accepting): () => void {
  let pause: Timer | undefined
  try {
    const watch = native.watch(fd, (error) => {
      if (error !== undefined) fail(linkError(Object.assign(new Error(error), { code: error })))
      else if (!takeAll(native, fd, take)) {
        watch.stop()
        pause = clock.after(PAUSE_MS, () => {
          watch.start()
        })
      }
    })
    watch.start()
    return () => {
      pause?.cancel()
      watch.close()
      native.close(fd)
    }
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/** Takes what waits; false where accepting fails for now. */
function takeAll(native: NativeDescriptors, fd: number, take: (connection: NativeAccepted) => void): boolean {
  for (let taken = 0; taken < MAX_AT_ONCE; taken++) {
    try {
      const connection = native.accept(fd)
      if (connection === undefined) return true
      take(connection)
    } catch (error) {
      if (!ofOneConnection(error)) return false
    }
  }
  return true
}
