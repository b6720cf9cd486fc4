import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import { SessionSecret, type Proven } from '../../../src/core/resume/secret.ts'
import { keyPairOf, resumeCrypto } from '../../../src/session/resume-crypto.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const hex = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString('hex')
const HELLOS = [Buffer.from('hello of connect'), Buffer.from('hello of serve')]
const NEXT = [Buffer.from('another hello of connect'), Buffer.from('another hello of serve')]
const TOKEN = Buffer.from('sixteen bytes and more')

const both = (): [SessionSecret, SessionSecret] => {
  const [a, b] = [resumeCrypto.keyPair(), resumeCrypto.keyPair()]
  const [here, there] = [a.shared(b.publicKey), b.shared(a.publicKey)]
  assert.ok(here !== undefined && there !== undefined)
  return [new SessionSecret(resumeCrypto, TOKEN, here, HELLOS), new SessionSecret(resumeCrypto, TOKEN, there, HELLOS)]
}
const PROVEN: Proven = {
  role: 'connect',
  prover: Buffer.from('prover'),
  verifier: Buffer.from('verifier'),
  positions: new Uint8Array(25),
}

/** MAC of docs/reference/wire-format.md, "Resume", written from the page. */
function mac(key: Uint8Array, label: string, ...parts: Uint8Array[]): Buffer {
  const lengths = parts.map((part) => Buffer.from([0, 0, part.byteLength >> 8, part.byteLength & 0xff]))
  const text = Buffer.concat([
    Buffer.from('trunkline resume, wire version 1\0'),
    Buffer.from(`${label}\0`),
    ...lengths,
    ...parts,
  ])
  return createHmac('sha256', key).update(text).digest()
}

describe('the key exchange', () => {
  it('is X25519: the numbers of RFC 7748, 6.1', () => {
    const a = keyPairOf(bytes('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'))
    const bPublic = bytes('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
    assert.equal(hex(a.publicKey), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a')
    assert.equal(hex(a.shared(bPublic)), '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742')
  })

  it('refuses keys of small order', () => {
    const pair = resumeCrypto.keyPair()
    assert.equal(pair.shared(new Uint8Array(32)), undefined)
    assert.equal(pair.shared(Uint8Array.of(1, ...new Uint8Array(31))), undefined)
  })
})

describe('the secret of a session', () => {
  it('is what the page of the wire says', () => {
    const shared = new Uint8Array(32).fill(7)
    const secret = new SessionSecret(resumeCrypto, TOKEN, shared, HELLOS)
    const key = mac(TOKEN, 'session', shared, ...HELLOS)
    assert.equal(hex(secret.id), hex(mac(key, 'id')).slice(0, 32))
    const { prover, verifier, positions } = PROVEN
    assert.equal(hex(secret.prove(PROVEN)), hex(mac(key, 'proof connect', prover, verifier, positions)))
    secret.advance(NEXT, true)
    const next = mac(key, 'next', ...NEXT)
    assert.equal(hex(secret.prove(PROVEN)), hex(mac(next, 'proof connect', prover, verifier, positions)))
  })

  it('is the same at both sides, and another with another token or other hellos', () => {
    const [a, b] = both()
    assert.equal(hex(a.id), hex(b.id))
    assert.equal(b.judge(a.prove(PROVEN), PROVEN), 'current')
    const shared = new Uint8Array(32).fill(7)
    const ids = [
      new SessionSecret(resumeCrypto, TOKEN, shared, HELLOS),
      new SessionSecret(resumeCrypto, new Uint8Array(0), shared, HELLOS),
      new SessionSecret(resumeCrypto, TOKEN, shared, NEXT),
    ].map(({ id }) => hex(id))
    assert.equal(new Set(ids).size, 3)
  })

  it('[R-747] refuses a proof whose positions, hellos or role were changed', () => {
    const [a, b] = both()
    const proof = a.prove(PROVEN)
    const other = Buffer.from('other')
    const moved = new Uint8Array(25).fill(1, 7, 8)
    for (const change of [{ positions: moved }, { prover: other }, { verifier: other }, { role: 'serve' as const }])
      assert.equal(b.judge(proof, { ...PROVEN, ...change }), 'wrong')
    assert.equal(b.judge(new Uint8Array(0), PROVEN), 'wrong')
  })

  it('[R-748] takes the key before until the peer is known to have the next one', () => {
    const [a, b] = both()
    const old = a.prove(PROVEN)
    b.advance(NEXT, false)
    // our answer was lost: the peer comes with the key that it has
    assert.equal(b.judge(old, PROVEN), 'before')
    b.stepBack()
    a.advance(NEXT, true)
    b.advance(NEXT, false)
    assert.equal(b.judge(a.prove(PROVEN), PROVEN), 'current')
    b.confirm()
    assert.equal(b.judge(old, PROVEN), 'replaced')
    assert.throws(() => {
      b.stepBack()
    }, RangeError)
    b.advance(HELLOS, true)
    assert.equal(b.judge(old, PROVEN), 'wrong')
  })

  it('[R-840] is the same after each proof that it judges, a right one by the key before too', () => {
    const [a, b] = both()
    const old = a.prove(PROVEN)
    a.advance(NEXT, true)
    b.advance(NEXT, false)
    // whoever proved it may be refused for its number or its positions
    assert.equal(b.judge(old, PROVEN), 'before')
    assert.equal(b.judge(new Uint8Array(32), PROVEN), 'wrong')
    assert.equal(b.judge(a.prove(PROVEN), PROVEN), 'current')
  })
})
