/** The token's proof: HMAC-SHA-256 (RFC 2104), so that the token itself never travels. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { badArgument } from '../contracts/errors.ts'
import type { Authenticator } from '../core/session/handshake.ts'

/** Shorter tokens could be guessed from one recorded proof. */
const MIN_TOKEN_BYTES = 16
const LABEL = 'trunkline token proof, wire version 1'

/** An authenticator for `token`; throws where it is too short. */
export function tokenAuthenticator(token: string | Uint8Array): Authenticator {
  if (typeof token !== 'string' && !(token instanceof Uint8Array)) throw badArgument('token must be a string or bytes')
  const key = Buffer.from(token)
  if (key.byteLength < MIN_TOKEN_BYTES) {
    throw badArgument(`token must have at least ${MIN_TOKEN_BYTES} bytes, not ${key.byteLength}`)
  }
  return {
    proof(role, prover, verifier) {
      const lengths = Buffer.alloc(8)
      lengths.writeUInt32BE(prover.byteLength, 0)
      lengths.writeUInt32BE(verifier.byteLength, 4)
      // fixed label and role, then both lengths: no two inputs run into the same bytes
      return createHmac('sha256', key)
        .update(`${LABEL}\0${role}\0`)
        .update(lengths)
        .update(prover)
        .update(verifier)
        .digest()
    },
    matches(a, b) {
      return a.byteLength === b.byteLength && timingSafeEqual(a, b)
    },
  }
}
