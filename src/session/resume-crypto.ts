/**
 * The cryptography of sessions that outlive their links: X25519 (RFC 7748) and HMAC-SHA-256 (RFC
 * 2104).
 */
import { createHmac, createPrivateKey, createPublicKey, diffieHellman, timingSafeEqual } from 'node:crypto'
import type { KeyPair, ResumeCrypto } from '../core/resume/secret.ts'
import { freshBytes } from '../runtime/fresh-bytes.ts'

const LABEL = 'trunkline resume, wire version 1'
/** What stands before the 32 bytes of a private and of a public key in DER (RFC 8410). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex')
const PUBLIC_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')
const KEY_BYTES = 32

export const resumeCrypto: ResumeCrypto = {
  keyPair() {
    // from the kernel: a process that was restored twice would else make the same key twice
    return keyPairOf(freshBytes(KEY_BYTES))
  },
  hmac(key, label, parts) {
    const lengths = Buffer.alloc(parts.length * 4)
    for (const [at, part] of parts.entries()) lengths.writeUInt32BE(part.byteLength, at * 4)
    const mac = createHmac('sha256', key).update(`${LABEL}\0${label}\0`).update(lengths)
    for (const part of parts) mac.update(part)
    return new Uint8Array(mac.digest())
  },
  matches(a, b) {
    return a.byteLength === b.byteLength && timingSafeEqual(a, b)
  },
}

/** The pair of a private key. */
export function keyPairOf(secret: Uint8Array): KeyPair {
  const key = Buffer.concat([PRIVATE_PREFIX, secret])
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(PUBLIC_PREFIX.byteLength)),
    shared(peer) {
      const publicKey = createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, peer]), format: 'der', type: 'spki' })
      try {
        return new Uint8Array(diffieHellman({ privateKey, publicKey }))
      } catch (error) {
        // OpenSSL refuses the all-zero result of a key of small order
        if ((error as NodeJS.ErrnoException).code === 'ERR_OSSL_FAILED_DURING_DERIVATION') return undefined
        throw error
      }
    },
  }
}
