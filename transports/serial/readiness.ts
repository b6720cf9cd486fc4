/**
 * Who tells when an open device is ready: the native addon, or, for a terminal where there is none,
 * the package that opened it.
 *
 * Promises: `ready` is called in a turn of the event loop that Node knows of, so that what it
 * schedules (`process.nextTick`, a promise's reactions) runs right after it.
 */
import { setImmediate as nextTurn } from 'node:timers'
import { READABLE, WRITABLE, type NativeDescriptors } from '../../src/native/load.ts'
import type { Ready } from './device-duplex.ts'

/** What watches one descriptor. */
export interface Readiness {
  /**
   * Replaces what is watched for: {@link READABLE}, {@link WRITABLE}, both, or 0. Nothing at first.
   */
  want(events: number): void
  /** Ends it: nothing is told afterwards. */
  close(): void
}

/** The poller of the package `serialport`, as far as it is used here. */
export interface PackagePoller {
  poll(events: number): void
  on(event: 'readable' | 'writable', listener: (error: Error | null) => void): void
  removeAllListeners(): void
}

/** Watches by the addon. Throws the system's error for a descriptor that cannot be waited for. */
export function addonReadiness(native: Pick<NativeDescriptors, 'watch'>, fd: number, ready: Ready): Readiness {
  const watch = native.watch(fd, (error, events = 0) => {
    ready(error === undefined ? undefined : Object.assign(new Error(error), { code: error }), events)
  })
  return {
    want(events) {
      if (events === 0) watch.stop()
      else watch.start(events)
    },
    close() {
      watch.close()
    },
  }
}

/**
 * Watches by the package. Its poller (13.0) calls back from within libuv, in no turn that Node
 * knows of: what the listener schedules would be left until the loop wakes for something else, on
 * Node 26 for seconds. So it is only noted there, and told in the next turn.
 */
export function packageReadiness(poller: PackagePoller, ready: Ready): Readiness {
  let wanted = 0
  /** Noted and not yet told. */
  let noted = 0
  let failure: Error | undefined
  let over = false
  const tellSoon = (): void => {
    nextTurn(() => {
      if (over) return
      const events = noted
      noted = 0
      if (failure === undefined) poller.poll(wanted)
      ready(failure, events)
    })
  }
  const note = (events: number) => (error: Error | null) => {
    const first = noted === 0
    noted |= events
    failure ??= error ?? undefined
    // the package watches on for whatever it was ever asked for
    if (failure === undefined) poller.poll(wanted & ~noted)
    if (first) tellSoon()
  }
  poller.on('readable', note(READABLE))
  poller.on('writable', note(WRITABLE))
  return {
    want(events) {
      wanted = events
      poller.poll(wanted & ~noted)
    },
    close() {
      over = true
      poller.removeAllListeners()
    },
  }
}
