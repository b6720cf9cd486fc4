/**
 * What a whole test file must not cause: an unhandled rejection, or a warning such as
 * MaxListenersExceededWarning.
 */
import assert from 'node:assert/strict'
import { after } from 'node:test'

/** Called once at the top of a test file: the file fails if one of them was seen by its end. */
export function noStrayRejections(): void {
  const seen: unknown[] = []
  const note = (what: unknown): void => {
    seen.push(what)
  }
  process.on('unhandledRejection', note)
  process.on('warning', note)
  after(async () => {
    // both are told a turn of the event loop later
    await new Promise((resolve) => setTimeout(resolve, 1))
    process.off('unhandledRejection', note)
    process.off('warning', note)
    assert.deepEqual(seen, [])
  })
}
