/**
 * fast-check for a process in which thousands of mutants are tried: of each property a few runs,
 * always the same, and the first failure is enough.
 */
import fc from 'fast-check'

const RUNS = 60

function assert(property, parameters) {
  const numRuns = Math.min(parameters?.numRuns ?? RUNS, RUNS)
  return fc.assert(property, { ...parameters, seed: 1, numRuns, endOnFailure: true })
}

export default { ...fc, assert }
