/**
 * Promises of a pipe: settled from outside, and none of them ends the process where nobody waits.
 */
import type { TrunkError } from '../../contracts/errors.ts'
import { ignore } from './rejected.ts'

/**
 * A promise that is settled from outside. Its failure reaches whoever waits for it, and ends no
 * process where nobody does.
 */
export class Deferred {
  readonly promise: Promise<void>
  resolve!: () => void
  #reject!: (error: TrunkError) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.#reject = reject
    })
  }

  reject(error: TrunkError): void {
    this.promise.catch(ignore)
    this.#reject(error)
  }
}

/** A write that waits until this much of the pipe has left. */
export class Waiter extends Deferred {
  readonly offset: number

  constructor(offset: number) {
    super()
    this.offset = offset
  }
}

/** What has nothing to wait for. */
export const DONE: Promise<void> = Promise.resolve()
