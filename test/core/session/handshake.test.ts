/**
 * The acquaintance of two strangers by itself: in which order what is said and taken, who proves
 * first, and for whom an answer is.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../../src/core/cbor.ts'
import { decodeReady, Handshake, type Authenticator } from '../../../src/core/session/handshake.ts'
import { encodeHello, type Hello } from '../../../src/core/session/hello.ts'
import { concat, utf8 } from '../../helpers/naive-codec.ts'
import { helloOf } from '../../helpers/peer-hello.ts'

/** Proves by a checksum of who proves what over which hellos, in their order. */
const key: Authenticator = {
  matches: (a, b) => Buffer.from(a).equals(b),
  proof(role, prover, verifier) {
    const sum = new Uint8Array(32)
    for (const [i, byte] of concat(utf8(role), prover, verifier).entries()) {
      sum[i % 32] = ((sum[i % 32] ?? 0) * 31 + byte + i) & 255
    }
    return sum
  },
}

function pair(
  a: Hello,
  b: Hello,
  keys?: [Authenticator | undefined, Authenticator | undefined],
): [Handshake, Handshake] {
  return [new Handshake(a, 4096, keys?.[0]), new Handshake(b, 4096, keys?.[1])]
}

/** With whom it has a session. */
const met = (handshake: Handshake): Hello | undefined => handshake.peer

const readyFor = (epoch: Uint8Array, proof?: Uint8Array): Uint8Array => encodeCbor({ epoch, proof }, 256, 'it')

describe('Handshake', () => {
  it('Handshake is established when each side has answered the other, not before', () => {
    const [a, b] = pair(helloOf(1), helloOf(2))
    assert.equal(a.takeReady(), undefined)
    a.hello(b.helloPayload)
    b.hello(a.helloPayload)
    assert.equal(a.answered, false)
    const [fromA, fromB] = [a.takeReady(), b.takeReady()]
    assert.ok(fromA !== undefined && fromB !== undefined)
    assert.equal(a.takeReady(), undefined, 'once')
    assert.ok(a.readyPayload() !== undefined, 'again where it is asked for')
    assert.equal(met(a), undefined)
    a.ready(fromB)
    assert.equal(a.answered, true)
    assert.deepEqual(met(a)?.epoch, new Uint8Array(8).fill(2))
    b.ready(fromA)
    assert.deepEqual(b.peer?.epoch, new Uint8Array(8).fill(1))
  })

  it('Handshake is not established before our own answer is out', () => {
    const [a, b] = pair(helloOf(1), helloOf(2))
    a.hello(b.helloPayload)
    a.ready(readyFor(a.own.epoch))
    assert.equal(a.answered, true)
    assert.equal(met(a), undefined)
    a.takeReady()
    assert.ok(met(a) !== undefined)
  })

  it('Handshake says its state where it is asked for', () => {
    const [a, b] = pair(helloOf(1), helloOf(2))
    a.hello(b.helloPayload)
    for (const state of ['new', 'heard', 'stands', undefined] as const) {
      const ready = decodeReady(a.readyPayload(state)!)
      assert.equal(ready.state, state)
      assert.deepEqual(ready.epoch, b.own.epoch)
    }
  })

  it('Handshake takes one hello, and not its own', () => {
    const [a, b] = pair(helloOf(1), helloOf(2))
    assert.throws(
      () => {
        a.hello(a.helloPayload)
      },
      { code: 'ERR_SELF_CONNECTION' },
    )
    a.hello(b.helloPayload)
    assert.throws(
      () => {
        a.hello(b.helloPayload)
      },
      { code: 'ERR_PROTOCOL_VIOLATION' },
    )
  })

  it('Handshake takes an answer in its turn, once', () => {
    const [a, b] = pair(helloOf(1), helloOf(2))
    const answer = readyFor(a.own.epoch)
    const early = (): void => {
      a.ready(answer)
    }
    assert.throws(early, { code: 'ERR_PROTOCOL_VIOLATION' })
    a.hello(b.helloPayload)
    a.ready(answer)
    assert.throws(early, { code: 'ERR_PROTOCOL_VIOLATION' })
  })

  it('Handshake refuses an answer to another hello, and one that is none', () => {
    for (const payload of [
      readyFor(new Uint8Array(8).fill(3)),
      readyFor(new Uint8Array(7).fill(1)),
      readyFor(new Uint8Array(9).fill(1)),
      encodeCbor({}, 256, 'it'),
      encodeCbor({ epoch: 'text' }, 256, 'it'),
      encodeCbor({ epoch: new Uint8Array(8).fill(1), state: 'asleep' }, 256, 'it'),
      encodeCbor({ epoch: new Uint8Array(8).fill(1), proof: 'text' }, 256, 'it'),
      Uint8Array.of(0xff),
    ]) {
      const [a, b] = pair(helloOf(1), helloOf(2))
      a.hello(b.helloPayload)
      assert.throws(
        () => {
          a.ready(payload)
        },
        { code: 'ERR_HELLO_INVALID' },
      )
      assert.equal(a.answered, false)
    }
  })

  it('Handshake takes no answer before a hello', () => {
    const [a] = pair(helloOf(1), helloOf(2))
    a.accept({ epoch: a.own.epoch })
    assert.equal(a.answered, false)
    assert.equal(a.readyPayload(), undefined)
  })

  it('Handshake does not look at the bytes of a hello again', () => {
    const [a, b] = pair(helloOf(1, 'connect', true), helloOf(2, 'serve', true), [key, key])
    const bytes = Uint8Array.from(b.helloPayload)
    a.hello(bytes)
    bytes.fill(0)
    b.hello(a.helloPayload)
    b.accept(decodeReady(a.readyPayload()!))
    assert.equal(b.answered, true)
  })
})

describe('Handshake with a token', () => {
  it('Handshake has the connecting side prove the token first, then the serving one', () => {
    const [a, b] = pair(helloOf(1, 'connect', true), helloOf(2, 'serve', true), [key, key])
    a.hello(b.helloPayload)
    b.hello(a.helloPayload)
    assert.equal(b.takeReady(), undefined)
    const first = a.takeReady()
    assert.ok(first !== undefined)
    b.ready(first)
    const second = b.takeReady()
    assert.ok(second !== undefined)
    a.ready(second)
    assert.ok(a.peer !== undefined && b.peer !== undefined)
    assert.notDeepEqual(decodeReady(first).proof, decodeReady(second).proof)
  })

  it('Handshake refuses a wrong proof, and none', () => {
    for (const proof of [undefined, new Uint8Array(32), new Uint8Array(0)]) {
      const [a, b] = pair(helloOf(1, 'serve', true), helloOf(2, 'connect', true), [key, key])
      a.hello(b.helloPayload)
      assert.throws(
        () => {
          a.ready(readyFor(a.own.epoch, proof))
        },
        { code: 'ERR_AUTH_FAILED' },
      )
      assert.equal(a.answered, false)
      assert.equal(a.takeReady(), undefined, 'and prove nothing')
    }
  })

  for (const [what, own, peer, keyed, code] of [
    ['the peer has none', helloOf(1, 'serve', true), helloOf(2, 'connect'), true, 'ERR_AUTH_REQUIRED'],
    ['only the peer has one', helloOf(1, 'serve'), helloOf(2, 'connect', true), false, 'ERR_AUTH_REQUIRED'],
    ['both serve', helloOf(1, 'serve', true), helloOf(2, 'serve', true), true, 'ERR_HELLO_INVALID'],
    ['both connect', helloOf(1, 'connect', true), helloOf(2, 'connect', true), true, 'ERR_HELLO_INVALID'],
    ['the peer has no role', helloOf(1, 'connect', true), helloOf(2, 'peer', true), true, 'ERR_HELLO_INVALID'],
  ] as const) {
    it(`part where ${what}`, () => {
      const a = new Handshake(own, 4096, keyed ? key : undefined)
      assert.throws(
        () => {
          a.hello(encodeHello(peer, 4096))
        },
        { code },
      )
      assert.equal(a.takeReady(), undefined)
    })
  }

  it('Handshake needs no roles without a token', () => {
    const a = new Handshake(helloOf(1, 'serve'), 4096, undefined)
    a.hello(encodeHello(helloOf(2, 'serve'), 4096))
    assert.ok(a.takeReady() !== undefined)
  })
})
