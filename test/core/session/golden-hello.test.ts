/** The hello, the READY and the token's proof against the golden vectors. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SYNC_WORD } from '../../../src/core/frame/constants.ts'
import { Handshake } from '../../../src/core/session/handshake.ts'
import { decodeHello, encodeHello, type Hello } from '../../../src/core/session/hello.ts'
import { tokenAuthenticator } from '../../../src/session/token.ts'
import { fromHex, hex } from '../../helpers/naive-codec.ts'
import { isCode } from '../../helpers/raw-session.ts'
import { plain, revive, wireFixture } from '../../helpers/wire-fixtures.ts'

const fixture = wireFixture('hellos.json')
const named = (name: string): Hello => {
  const vector = fixture.hellos.find((one) => one.name === name)
  if (vector === undefined) throw new Error(`there is no hello ${name}`)
  return revive(vector.fields) as Hello
}

describe('golden hellos', () => {
  it('begins with the documented sync word', () => {
    assert.equal(hex(SYNC_WORD), fixture.sync)
    // what makes it impossible across a frame's borders, and unlike itself when shifted
    assert.ok(SYNC_WORD.every((byte) => byte > 0x7f))
    assert.equal(new Set(SYNC_WORD).size, 8)
  })

  for (const vector of fixture.hellos) {
    it(`encodes and decodes ${vector.name}`, () => {
      const fields = revive(vector.fields) as Hello
      assert.equal(hex(encodeHello(fields, 4096)), vector.hex)
      assert.deepEqual(plain(decodeHello(fromHex(vector.hex))), fields)
    })
  }

  it('drops what it does not know, and takes members in any order', () => {
    const { hex: text, fields } = fixture.unknownFields
    assert.deepEqual(plain(decodeHello(fromHex(text))), revive(fields))
  })

  it('answers with the golden READY', () => {
    const handshake = new Handshake(named('a'), 4096, undefined)
    assert.equal(handshake.takeReady(), undefined)
    handshake.hello(encodeHello(named('b'), 4096))
    assert.equal(hex(handshake.takeReady()!), fixture.ready.hex)
    assert.equal(handshake.takeReady(), undefined)
  })

  it('leaves the protocols out where their list is long', () => {
    const protocols = Array.from({ length: 100 }, (_, i) => `protocol-${i}`)
    const encoded = encodeHello({ ...named('a'), protocols }, 4096)
    assert.deepEqual(decodeHello(encoded).protocols, [])
  })
})

describe('golden proofs', () => {
  const { token, connect, serve } = fixture.token
  const authenticator = tokenAuthenticator(token)
  const a = named('a with a challenge')
  const b = named('b with a challenge')

  it('makes the documented proofs', () => {
    const [ofA, ofB] = [encodeHello(a, 4096), encodeHello(b, 4096)]
    assert.equal(hex(authenticator.proof('connect', ofA, ofB)), connect.proof)
    assert.equal(hex(authenticator.proof('serve', ofB, ofA)), serve.proof)
  })

  it('runs the golden handshake on both sides', () => {
    const dialling = new Handshake(a, 4096, authenticator)
    const serving = new Handshake(b, 4096, authenticator)
    serving.hello(dialling.helloPayload)
    dialling.hello(serving.helloPayload)
    assert.equal(serving.takeReady(), undefined, 'the serving side waits for a valid proof')
    const first = dialling.takeReady()!
    assert.equal(hex(first), connect.ready)
    serving.ready(first)
    const second = serving.takeReady()!
    assert.equal(hex(second), serve.ready)
    dialling.ready(second)
    assert.deepEqual([dialling.peer?.name, serving.peer?.name], ['host', 'guest'])
  })

  it('takes no proof with any bit changed', () => {
    const proof = fromHex(connect.proof)
    for (let bit = 0; bit < 256; bit++) {
      const wrong = proof.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      assert.equal(authenticator.matches(wrong, proof), false)
    }
    assert.equal(authenticator.matches(proof.slice(), proof), true)
    assert.equal(authenticator.matches(proof.subarray(1), proof), false)
  })

  it('wants a token of 16 bytes or more, of bytes or text alike', () => {
    assert.throws(() => tokenAuthenticator('x'.repeat(15)), isCode('ERR_BAD_ARGUMENT'))
    assert.throws(() => tokenAuthenticator(new Uint8Array(15)), isCode('ERR_BAD_ARGUMENT'))
    assert.throws(() => tokenAuthenticator(5 as never), isCode('ERR_BAD_ARGUMENT'))
    const nothing = new Uint8Array(0)
    assert.deepEqual(
      tokenAuthenticator(Buffer.from(token)).proof('serve', nothing, nothing),
      authenticator.proof('serve', nothing, nothing),
    )
  })
})
