/**
 * Runs something and checks that nothing of it is left: handles, descriptors, and listeners of the
 * process.
 */
import assert from 'node:assert/strict'
import { countHandles, nothingLeft } from './process-handles.ts'

/**
 * Resolves with what `run` gave when, soon after it, no handle, descriptor or process listener is
 * left of it.
 */
export async function expectNoLeaks<T>(run: () => Promise<T>): Promise<T> {
  const handles = countHandles()
  const listeners = countListeners()
  const value = await run()
  await nothingLeft(handles)
  assert.deepEqual(countListeners(), listeners)
  return value
}

function countListeners(): Record<string, number> {
  return Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]))
}
