/** Two trunks of one process, joined by a memory link. Part of `trunkline/testing`. */
import { overLink, type Trunk, type LinkOptions } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'

/**
 * A session over memory: two trunks, each the other's peer. `near` and `far` are the options of the
 * one and the other. Rejects as `overLink` does; close both.
 *
 * @example
 * ```ts
 * const [near, far] = await trunkPair({}, { protocols: [mine] })
 * const pipe = await near.open('mine')
 * ```
 */
export async function trunkPair(near: LinkOptions = {}, far: LinkOptions = {}): Promise<[Trunk, Trunk]> {
  const [nearLink, farLink] = memoryPair()
  return await Promise.all([overLink(nearLink, near), overLink(farLink, far)])
}
