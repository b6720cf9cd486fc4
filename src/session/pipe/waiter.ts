/** What a pipe's writers wait for. */
import { Deferred } from '../../runtime/deferred.ts'

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
