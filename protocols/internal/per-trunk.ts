/**
 * State that a protocol keeps for each trunk, and that goes with it: one trunk's limits and ids are
 * never another's.
 */
import type { Trunk } from '../../src/contracts/types.ts'

/** Gives the state of a trunk, made when it is first asked for. */
export function perTrunk<T extends object>(make: (trunk: Trunk) => T): (trunk: Trunk) => T {
  const states = new WeakMap<Trunk, T>()
  return (trunk) => {
    const known = states.get(trunk)
    if (known !== undefined) return known
    const made = make(trunk)
    states.set(trunk, made)
    return made
  }
}
