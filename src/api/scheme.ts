/**
 * The scheme of an address, which chooses its transport. Only what every address has to be is
 * checked here.
 */
import { TrunkError } from '../contracts/errors.ts'

const SCHEME = /^([a-z][a-z0-9+.-]*):/i
/** Text with one has no bytes: it would name another socket, device or command. */
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * The scheme of `address`, without the colon and in small letters; ERR_ADDRESS_INVALID where it has
 * none, or is no text.
 */
export function schemeOf(address: string): string {
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no address: ${what}`)
  if (LONE_SURROGATE.test(address)) throw invalid('it holds bytes that are not UTF-8')
  const scheme = SCHEME.exec(address)?.[1]?.toLowerCase()
  if (scheme === undefined) throw invalid('it begins with no scheme such as tcp:')
  return scheme
}
