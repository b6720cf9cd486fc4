/**
 * For tests of what is built on trunkline: a clock that is turned by hand, two links or two trunks
 * joined in one process, and the suite that every transport passes. The suite is for `node:test`;
 * the rest works under any runner.
 *
 * @packageDocumentation
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { test } from 'node:test'
 * import { manualClock, trunkPair } from 'trunkline/testing'
 * import { text } from 'trunkline/streams'
 * import { clock } from './my-protocol.js'
 *
 * test('tells the time each second', async () => {
 *   const time = manualClock()
 *   const protocols = [clock({ clock: time })]
 *   const [near, far] = await trunkPair({ clock: time }, { clock: time, protocols })
 *   const pipe = await near.open('clock', { seconds: 1 })
 *   time.advance(1000)
 *   assert.equal(await text(pipe), '1\n')
 *   await Promise.all([near.close(), far.close()])
 * })
 * ```
 */
export { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
export { trunkPair } from '../helpers/trunk-pair.ts'
export { memoryPair, type MemoryPairOptions } from '../../transports/memory.ts'
export {
  transportConformance,
  type ConformanceOptions,
  type ConformancePoint,
  type LinkPair,
} from '../conformance/transport.ts'
