/** The whole check of an address, which its transport makes: it is loaded for that. */
import { TrunkError } from '../../index.ts'
import { schemeOf } from '../../api/scheme.ts'
import { SCHEMES } from '../../api/schemes.ts'

/** What stands for the name in the address of a pattern. */
export const NAME_MARK = '%n'

/**
 * Rejects with what is wrong with `address`. That of a pattern is looked at when there is a name
 * for it.
 */
export async function requireAddress(address: string): Promise<void> {
  const scheme = schemeOf(address)
  const load = SCHEMES[scheme]
  if (load === undefined)
    throw new TrunkError('ERR_TRANSPORT_UNKNOWN', `there is no transport for ${JSON.stringify(scheme)}`)
  if (!address.includes(NAME_MARK)) (await load())(address)
}
