/**
 * From a target that the other side named to a connection: resolved once, every address checked,
 * and dialled, within one time limit.
 */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { withDeadline } from '../../src/runtime/deadline.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Share } from '../../src/runtime/fair-budget.ts'
import type { Connection } from '../tcp/connection.ts'
import type { AddressPolicy } from '../tcp/policy.ts'
import { resolveAllowed, type Lookup } from '../tcp/resolve.ts'
import type { Attempts } from './attempt.ts'
import { dial } from './dial.ts'

/** What {@link dialAllowed} is given. */
export interface DialAllowedOptions {
  readonly policy: AddressPolicy
  /** Time for resolving and dialling together. */
  readonly connectTimeoutMs: number
  readonly lookup: Lookup | undefined
  /** What the asking trunk has of the lookups; undefined where no trunk asks. */
  readonly lookups: Share | undefined
  readonly clock: Clock
  readonly attempts: Attempts | undefined
}

/**
 * Resolves and dials within `connectTimeoutMs`, or until `signal` aborts. Rejects as {@link
 * resolveAllowed} and {@link dial} do.
 */
export async function dialAllowed(
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
  { policy, connectTimeoutMs, lookup, lookups, clock, attempts }: DialAllowedOptions,
): Promise<Connection> {
  const name = formatHostPort(host, port)
  const timedOut = (): TrunkError =>
    new TrunkError('ERR_CONNECT_TIMEOUT', `cannot connect to ${name}: no answer in time`)
  return await withDeadline({ clock, signal, ms: connectTimeoutMs, timedOut }, async (limit) => {
    const addresses = await resolveAllowed(host, port, { policy, lookup, lookups, signal: limit })
    return await dial(addresses, port, { target: name, signal: limit, clock, ...(attempts && { attempts }) })
  })
}
