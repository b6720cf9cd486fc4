/** What somebody says of itself when a session begins, with the default limits. */
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { helloLimits, type Hello, type Role } from '../../src/core/session/hello.ts'

export function helloOf(epoch: number, role: Role = 'peer', challenged = false): Hello {
  return {
    versions: [1, 1],
    epoch: new Uint8Array(8).fill(epoch),
    name: `peer ${epoch}`,
    role,
    limits: helloLimits(DEFAULT_LIMITS),
    protocols: [],
    features: [],
    challenge: challenged ? new Uint8Array(32).fill(epoch) : undefined,
  }
}
