/** The name in a TCP address: does it resolve, and to what? */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { within } from '../../runtime/deadline.ts'
import { unlessAborted } from '../../runtime/on-abort.ts'
import type { Context } from '../context.ts'
import { ok, problem, type Findings } from './findings.ts'

const LOOKUP_MS = 3_000

/** Looks the host of an address up. */
export async function* examineName(context: Context, host: string): Findings {
  if (isIP(host) !== 0) return true
  const addresses = await resolved(context, host)
  if (addresses.length > 0) {
    yield ok('name', `${host} is ${addresses.join(', ')}`, { addresses })
    return true
  }
  yield problem(
    'name',
    `the name ${host} does not resolve`,
    'Check how it is written, and what this machine asks for names (/etc/hosts, /etc/resolv.conf). An address always works.',
  )
  return false
}

/** None where there are none, or none in time. */
async function resolved({ clock, signal }: Context, host: string): Promise<string[]> {
  const found = lookup(host, { all: true }).catch(() => [])
  const addresses = await unlessAborted(within(found, LOOKUP_MS, clock), signal)
  return [...new Set(addresses?.map(({ address }) => address))]
}
