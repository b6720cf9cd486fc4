/**
 * The token on a connectionless link: hello bursts are repeated, and still nobody collects a proof
 * of the serving side.
 */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import { answerPings, CheckedSeat } from '../../helpers/checked-seat.ts'
import { bigEndian, concat, utf8 } from '../../helpers/naive-codec.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'
import type { HelloFields } from '../../helpers/raw-peer.ts'

const TOKEN = 'a token of more than sixteen bytes'
const OTHER = 'another token of sixteen bytes and more'

type Side = 'connect' | 'serve'
const challengeOf = (side: Side): Uint8Array => new Uint8Array(32).fill(side === 'serve' ? 0xbb : 0xaa)

const seatOf = (role: Side, token = TOKEN): CheckedSeat =>
  new CheckedSeat({ waitsForever: role === 'serve', token, hello: { role, challenge: challengeOf(role) } })
const voiceOf = (role: Side, more: HelloFields = {}): CheckedVoice =>
  new CheckedVoice({ role, challenge: challengeOf(role), ...more })

/** The proof as docs/reference/wire-format.md has it. */
function proof(role: Side, prover: Uint8Array, verifier: Uint8Array, token = TOKEN): Uint8Array {
  const lengths = concat(bigEndian(prover.byteLength, 4), bigEndian(verifier.byteLength, 4))
  const label = utf8(`trunkline token proof, wire version 1\0${role}\0`)
  return new Uint8Array(
    createHmac('sha256', token)
      .update(concat(label, lengths, prover, verifier))
      .digest(),
  )
}
const proofOf = (voice: CheckedVoice, role: Side, token = TOKEN): Uint8Array =>
  proof(role, voice.hello, voice.theirHello!, token)

describe('a serving side with a token', () => {
  it('greets without READY until it has checked the other side’s, however often it greets', () => {
    const seat = seatOf('serve')
    const voice = voiceOf('connect')
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst()).say())
    voice.hear(seat.advance(10_000))
    assert.deepEqual([voice.count('HELLO'), voice.count('READY')], [12, 0])
    voice.hear(seat.hear(voice.helloBurst('new', { proof: proofOf(voice, 'connect') })).say())
    assert.equal(voice.lastReady?.state, 'heard')
    assert.deepEqual(voice.lastReady.proof, proof('serve', voice.theirHello!, voice.hello))
    seat.hear(voice.helloBurst('heard', { proof: proofOf(voice, 'connect') }))
    assert.equal(seat.establishedWith, 'raw')
    voice.hear(seat.say())
    answerPings(seat, voice)
    seat.assertLives()
  })

  for (const [what, fields] of [
    ['of another token', (voice: CheckedVoice) => ({ proof: proofOf(voice, 'connect', OTHER) })],
    ['that is missing', () => ({})],
    ['of another length', (voice: CheckedVoice) => ({ proof: proofOf(voice, 'connect').subarray(1) })],
    [
      'that is its own, sent back',
      (voice: CheckedVoice) => ({ proof: proof('serve', voice.theirHello!, voice.hello) }),
    ],
    [
      'of another session',
      (voice: CheckedVoice) => ({ proof: proof('connect', voice.hello, new CheckedVoice({ role: 'serve' }).hello) }),
    ],
  ] as const) {
    it(`refuses a proof ${what}, says so, and gives none of its own`, () => {
      for (const state of ['new', 'heard', 'stands'] as const) {
        const seat = seatOf('serve')
        const voice = voiceOf('connect')
        voice.hear(seat.say())
        voice.hear(seat.hear(voice.helloBurst()).say())
        seat.hear(voice.helloBurst(state, fields(voice)))
        seat.assertEnded('ERR_AUTH_FAILED')
        assert.deepEqual(names(voice.hear(seat.say())), ['HELLO', 'BYE'])
        assert.equal(voice.byeNumber, 24)
        assert.equal(voice.count('READY'), 0)
        assert.equal(seat.say().byteLength, 0)
      }
    })
  }

  it('gives no proof for a READY to another hello, and none to a frame that only an established peer can send', () => {
    const seat = seatOf('serve')
    const voice = voiceOf('connect')
    voice.hear(seat.say())
    seat.hear(voice.helloBurst('stands', { epoch: new Uint8Array(8), proof: proofOf(voice, 'connect') }))
    seat.hear(voice.say({ type: 5, flags: 0, pipe: 0, payload: new Uint8Array(16) }))
    voice.hear(seat.say())
    assert.equal(voice.count('READY'), 0)
    assert.equal(seat.establishedWith, undefined)
    seat.assertLives()
  })

  it('answers a proof that says to have heard it already, and does not stand by that', () => {
    const seat = seatOf('serve')
    const voice = voiceOf('connect')
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst()).say())
    const helloBurst = (): Uint8Array => voice.helloBurst('heard', { proof: proofOf(voice, 'connect') })
    assert.deepEqual(names(voice.hear(seat.hear(helloBurst()).say())), ['HELLO', 'READY'])
    assert.equal(seat.establishedWith, undefined)
    seat.hear(helloBurst())
    assert.equal(seat.establishedWith, 'raw')
  })

  it('checks a proof once: the run that gave it is known', () => {
    const seat = seatOf('serve')
    const voice = voiceOf('connect')
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst('new', { proof: proofOf(voice, 'connect') })).say())
    seat.hear(voice.helloBurst('heard', { proof: new Uint8Array(32) })).assertLives()
    assert.equal(seat.establishedWith, 'raw')
  })

  it('checks each run’s own proof: that of the run before is no pass', () => {
    const seat = seatOf('serve')
    const first = voiceOf('connect')
    first.hear(seat.say())
    first.hear(seat.hear(first.helloBurst('new', { proof: proofOf(first, 'connect') })).say())
    assert.equal(first.lastReady?.state, 'heard')
    const thief = voiceOf('connect', { epoch: new Uint8Array(8) })
    thief.hear(seat.hear(thief.helloBurst()).say())
    assert.equal(thief.count('READY'), 0)
    seat.hear(thief.helloBurst('heard', { proof: proofOf(first, 'connect') })).assertEnded('ERR_AUTH_FAILED')
    assert.deepEqual(names(thief.hear(seat.say())), ['HELLO', 'BYE'])
  })
})

describe('a connecting side with a token', () => {
  it('proves at once, and stands when the serving side has proved', () => {
    const seat = seatOf('connect')
    const voice = voiceOf('serve')
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst()).say())
    assert.deepEqual(voice.lastReady?.proof, proof('connect', voice.theirHello!, voice.hello))
    seat.hear(voice.helloBurst('heard', { proof: proofOf(voice, 'serve') }))
    assert.equal(seat.establishedWith, 'raw')
  })

  it('refuses a serving side whose proof is wrong, and says so', () => {
    const seat = seatOf('connect')
    const voice = voiceOf('serve')
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst()).say())
    seat.hear(voice.helloBurst('heard', { proof: proofOf(voice, 'serve', OTHER) })).assertEnded('ERR_AUTH_FAILED')
    voice.hear(seat.say())
    assert.equal(voice.byeNumber, 24)
  })
})

describe('two engines', () => {
  /** What becomes of both, each told what the other one says, in turns. */
  function meet(a: CheckedSeat, b: CheckedSeat): [string | undefined, string | undefined] {
    for (let i = 0; i < 10; i++) {
      b.hear(a.say())
      a.hear(b.say())
    }
    return [a.code ?? a.establishedWith, b.code ?? b.establishedWith]
  }

  it('have a session with the same token', () => {
    assert.deepEqual(meet(seatOf('connect'), seatB('serve', TOKEN)), ['b', 'seat'])
  })

  it('both have ERR_AUTH_FAILED with different ones', () => {
    assert.deepEqual(meet(seatOf('connect'), seatB('serve', OTHER)), ['ERR_AUTH_FAILED', 'ERR_AUTH_FAILED'])
    assert.deepEqual(meet(seatB('serve', OTHER), seatOf('connect')), ['ERR_AUTH_FAILED', 'ERR_AUTH_FAILED'])
  })

  it('both have ERR_AUTH_REQUIRED where one has none', () => {
    const without = (): CheckedSeat => new CheckedSeat({ hello: { name: 'b', epoch: EPOCH_B } })
    assert.deepEqual(meet(seatOf('connect'), without()), ['ERR_AUTH_REQUIRED', 'ERR_AUTH_REQUIRED'])
    assert.deepEqual(meet(without(), seatOf('serve')), ['ERR_AUTH_REQUIRED', 'ERR_AUTH_REQUIRED'])
  })

  it('both have ERR_HELLO_INVALID where both connect, or both serve', () => {
    assert.deepEqual(meet(seatOf('connect'), seatB('connect', TOKEN)), ['ERR_HELLO_INVALID', 'ERR_HELLO_INVALID'])
    assert.deepEqual(meet(seatOf('serve'), seatB('serve', TOKEN)), ['ERR_HELLO_INVALID', 'ERR_HELLO_INVALID'])
  })
})

const EPOCH_B = bigEndian(0xb, 8)

function seatB(role: Side, token: string): CheckedSeat {
  return new CheckedSeat({
    waitsForever: role === 'serve',
    token,
    hello: { name: 'b', epoch: EPOCH_B, role, challenge: challengeOf(role) },
  })
}
