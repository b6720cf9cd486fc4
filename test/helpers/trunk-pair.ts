/** Two trunks of one process, joined by a memory line. */
import { overLink, type Trunk, type LinkOptions } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'

/** A session over memory; `near` and `far` are its two ends' options. */
export async function trunkPair(near: LinkOptions = {}, far: LinkOptions = {}): Promise<[Trunk, Trunk]> {
  const [nearLink, farLink] = memoryPair()
  return await Promise.all([overLink(nearLink, near), overLink(farLink, far)])
}
