/**
 * From a host that the peer named to the literal addresses that may be used: resolved once, every
 * one checked, and only what is returned here is ever dialled or bound. Enforces
 * {@link MAX_CANDIDATES}; how many names are looked up at a time is a budget (`lookups`).
 */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { holding } from '../../src/runtime/budgets.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { unlessAborted } from '../../src/runtime/on-abort.ts'
import type { Share } from '../../src/runtime/fair-budget.ts'
import { toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import { canonicalAddress, type AddressPolicy } from './policy.ts'

/**
 * Looks a host name up; gives literal addresses in the order to try them, rejects when there are
 * none.
 */
export type Lookup = (name: string) => Promise<readonly string[]>

/** Addresses of one name that are tried; a hostile name server may answer with thousands. */
const MAX_CANDIDATES = 16

/** The system's resolver (getaddrinfo: hosts file, DNS and so on). */
const systemLookup: Lookup = async (name) => (await lookup(name, { all: true })).map(({ address }) => address)

/** What {@link resolveAllowed} needs besides the target. */
export interface ResolveOptions {
  readonly policy: AddressPolicy
  /** Undefined: the system's resolver, of which each name takes one of {@link lookups}. */
  readonly lookup: Lookup | undefined
  /**
   * What the asking trunk has of the lookups, undefined where no trunk asks: the system's resolver
   * blocks a thread for up to tens of seconds, and files need threads too.
   */
  readonly lookups: Share | undefined
  readonly signal: AbortSignal
}

/**
 * The addresses of `host` that the policy allows with `port`, at least one. Rejects with
 * ERR_DENIED, ERR_NAME_NOT_FOUND, or the reason of the signal. `host` has been through `Host` of
 * tcp-fields.ts.
 */
export async function resolveAllowed(host: string, port: number, options: ResolveOptions): Promise<readonly string[]> {
  const { policy, lookups, signal } = options
  const denied = () => new TrunkError('ERR_DENIED', `${formatHostPort(host, port)} is not allowed here`)
  if (isIP(host) !== 0) {
    if (!policy.allows(host, port)) throw denied()
    return [host]
  }
  if (!policy.considers(host, port)) throw denied()
  const bounded: Lookup = (name) =>
    lookups === undefined ? systemLookup(name) : holding(lookups, 1, { signal }, () => systemLookup(name))
  const answers = await unlessAborted(lookUp(host, options.lookup ?? bounded), signal)
  const allowed = answers
    .slice(0, MAX_CANDIDATES)
    .map((address) => canonicalAddress(address))
    .filter((address) => address !== undefined)
    .filter((address) => policy.allows(address, port, host))
  if (allowed.length === 0) throw denied()
  return [...new Set(allowed)]
}

/**
 * The addresses of a host that the user of this machine named, at least one: no rule is asked.
 * Rejects with ERR_NAME_NOT_FOUND.
 */
export async function literalsOf(host: string): Promise<readonly string[]> {
  return isIP(host) === 0 ? await lookUp(host, systemLookup) : [host]
}

async function lookUp(host: string, look: Lookup): Promise<readonly string[]> {
  let answers: readonly string[]
  try {
    answers = await look(host)
  } catch (error) {
    if (error instanceof TrunkError) throw error
    throw toTrunkError(error, 'ERR_NAME_NOT_FOUND', `${host} could not be looked up`)
  }
  if (answers.length === 0) throw new TrunkError('ERR_NAME_NOT_FOUND', `${host} has no address`)
  return answers
}
