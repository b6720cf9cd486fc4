/**
 * Waiting for an abort signal: one listener a signal, however many calls share it. A program that
 * ends by one AbortController has a thousand pipes on its signal, and Node warns of a leak from the
 * eleventh listener on.
 */

import { abortError, badArgument } from '../contracts/errors.ts'

/** An AbortSignal, or ERR_BAD_ARGUMENT: found out before anything hangs on it. */
export function requireSignal(given: unknown): AbortSignal {
  if (given instanceof AbortSignal) return given
  throw badArgument(`a signal is an AbortSignal, not ${given === null ? 'null' : typeof given}`)
}

/**
 * `promise`, or the signal's reason as soon as it aborts. What the promise gives then is dropped.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let unsubscribe = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    unsubscribe = onAbort(signal, () => {
      reject(abortError(signal))
    })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    unsubscribe()
  }
}

interface Shared {
  readonly callbacks: Set<() => void>
  readonly fire: () => void
}

const sharedBySignal = new WeakMap<AbortSignal, Shared>()

/**
 * Calls `callback` once when `signal` aborts; at once where it has. It may not throw.
 * @returns lets go of the signal: nothing is called any more, and the last one takes the listener
 * away
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback()
    return () => undefined
  }
  const shared = sharedBySignal.get(signal) ?? share(signal)
  // wrapped: the same function given twice is called twice
  const own = (): void => {
    callback()
  }
  shared.callbacks.add(own)
  return () => {
    shared.callbacks.delete(own)
    if (shared.callbacks.size > 0 || sharedBySignal.get(signal) !== shared) return
    sharedBySignal.delete(signal)
    signal.removeEventListener('abort', shared.fire)
  }
}

function share(signal: AbortSignal): Shared {
  const callbacks = new Set<() => void>()
  const shared: Shared = {
    callbacks,
    fire() {
      sharedBySignal.delete(signal)
      for (const callback of callbacks) callback()
      callbacks.clear()
    },
  }
  sharedBySignal.set(signal, shared)
  signal.addEventListener('abort', shared.fire, { once: true })
  return shared
}
