/**
 * An open by the peer, on its way to the handler: what the handler sees of it, and what the peer is
 * told where it fails.
 */
import { TrunkError, toTrunkError, type ErrorCode } from '../contracts/errors.ts'
import type { Protocol } from '../contracts/types.ts'

/** The parameters of a request, checked by its protocol. */
export function parseParams(protocol: Protocol, params: unknown): unknown {
  try {
    return protocol.parse(params)
  } catch (error) {
    throw ofPeer(error, 'ERR_PARAMS_INVALID', `the parameters for ${JSON.stringify(protocol.name)} are not valid`)
  }
}

/**
 * What the peer is told: an argument error is about a call on this side, and its code never
 * travels.
 */
export function ofPeer(thrown: unknown, code: ErrorCode, message: string): TrunkError {
  const error = toTrunkError(thrown, code, message)
  return error.scope === 'argument' ? new TrunkError(code, message, { cause: error }) : error
}
