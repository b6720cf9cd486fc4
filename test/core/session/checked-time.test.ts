/**
 * Time on a connectionless link, turned by hand: how long is waited for a peer, for the rest of a
 * frame, for a sign of life; and what proves nothing.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerPings, CheckedSeat, ping, pong, stand, standing } from '../../helpers/checked-seat.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'
import { frame, TYPE } from '../../helpers/naive-codec.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'

const HOUR = 3_600_000

/** A long frame of the running CRC, to be cut. */
const long = (voice: CheckedVoice): Uint8Array => voice.say(frame(0x7f, 0, new Uint8Array(5000)))

describe('waiting for a peer', () => {
  it('never ends where somebody serves: a guest may be booted tomorrow', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const voice = new CheckedVoice()
    const { byteLength } = seat.say()
    assert.equal(seat.advance(HOUR).byteLength, 3600 * byteLength)
    seat.assertLives()
    stand(seat, voice)
  })

  it('ends after 10 s where somebody connects, and says what was seen', () => {
    const stranger = new CheckedVoice()
    for (const [heard, sentence] of [
      [[], 'no session after 10000 ms: nothing came'],
      [[seededBytes(1, 1234)], "no session after 10000 ms: 1234 bytes came that are not trunkline's"],
      [
        [Uint8Array.of(0xff), Uint8Array.of(0xfb, 1, 0xff, 0xfb, 3)],
        "no session after 10000 ms: 6 bytes came that are not trunkline's, but those of telnet (telnet=on of a character device, or a terminal server): it has to be a raw socket",
      ],
      [[stranger.helloBurst()], 'no session after 10000 ms: a hello came, but no answer to ours'],
      [
        [stranger.helloBurst().map((byte) => (byte === 0x0d ? 0x0a : byte))],
        'no session after 10000 ms: the line changes bytes on their way here: 0x0d arrives as 0x0a: CR becomes NL (icrnl)',
      ],
    ] as const) {
      const seat = new CheckedSeat()
      seat.say()
      seat.hear(...heard)
      seat.advance(9_999)
      seat.assertLives()
      // a stranger that comes next is not to hear that somebody else did not come
      assert.equal(seat.advance(1).byteLength, 0)
      seat.assertEnded('ERR_HELLO_TIMEOUT')
      assert.equal(seat.ended?.message, sentence)
    }
  })

  it('is no stall: what is written while nobody is there stays with the line for as long as it takes', () => {
    for (const heardBefore of [false, true]) {
      const seat = new CheckedSeat({ waitsForever: true })
      const voice = new CheckedVoice()
      const first = seat.stick()
      seat.advance(HOUR)
      seat.assertLives()
      voice.hear(first)
      if (!heardBefore) seat.unstick()
      // somebody reads the line empty at last, and is heard before the line says so
      seat.hear(voice.helloBurst('new'))
      if (heardBefore) seat.unstick()
      stand(seat, voice)
      seat.assertLives()
    }
  })

  it('is no stall where the session is established before the line has let go: it counts from there', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const voice = new CheckedVoice()
    voice.hear(seat.say())
    seat.hear(voice.helloBurst('new'))
    voice.hear(seat.stick())
    assert.equal(voice.lastReady?.state, 'heard')
    seat.advance(10_500)
    // it is taken, and answered; what says so comes a moment later
    seat.hear(voice.say(ping()))
    assert.equal(seat.establishedWith, 'raw')
    seat.advance(1)
    seat.assertLives()
    seat.unstick()
    assert.deepEqual(names(voice.hear(seat.say())), ['PONG', 'PING'])
  })

  it('becomes one when the session is established and the line takes nothing for 10 s', () => {
    const { seat, voice } = standing()
    seat.engine.ping()
    seat.stick()
    for (let i = 0; i < 9; i++) {
      seat.advance(1000)
      seat.hear(voice.say(ping(i)))
    }
    seat.advance(999)
    seat.assertLives()
    seat.advance(1)
    seat.assertEnded('ERR_WRITE_STALLED')
  })
})

describe('keepalive', () => {
  it('asks after 5 s of silence, and gives up 10 s later [R-049]', () => {
    const { seat, voice } = standing()
    assert.equal(seat.advance(4_999).byteLength, 0)
    assert.deepEqual(names(voice.hear(seat.advance(1))), ['PING'])
    seat.advance(9_999)
    seat.assertLives()
    const said = seat.advance(1)
    seat.assertEnded('ERR_KEEPALIVE_TIMEOUT')
    assert.deepEqual(names(voice.hear(said)), ['BYE'])
    assert.equal(voice.byeNumber, 30)
  })

  it('is content with any byte, one of a frame that goes on', () => {
    const { seat, voice } = standing()
    const bytes = long(voice)
    for (let at = 0; at < 100; at++) {
      voice.hear(seat.hear(bytes.subarray(at, at + 1)).advance(500))
      seat.assertLives()
    }
  })

  it('proves nothing while the own process stood still [R-133]', () => {
    const { seat, voice } = standing()
    voice.hear(seat.standStill(HOUR))
    seat.assertLives()
    // the question is answered by what had waited
    answerPings(seat, voice)
    seat.assertLives()
    voice.hear(seat.advance(5_000))
    seat.standStill(HOUR)
    seat.assertLives()
    seat.advance(9_999)
    seat.assertLives()
    seat.advance(1)
    seat.assertEnded('ERR_KEEPALIVE_TIMEOUT')
  })
})

describe('a frame that stays incomplete', () => {
  it('makes the receiver ask after 0.5 s; where the answer is no part of it, bytes are missing 1.5 s later [R-056]', () => {
    const { seat, voice } = standing()
    const bytes = long(voice)
    // 30 bytes in the middle were lost
    seat.hear(bytes.subarray(0, 2000), bytes.subarray(2030))
    assert.equal(seat.advance(499).byteLength, 0)
    const asked = voice.hear(seat.advance(1))
    assert.deepEqual(names(asked), ['PING'])
    // its answer is shorter than what is missing
    seat.hear(voice.say(frame(TYPE.PARSED, 0, new Uint8Array(8))))
    seat.advance(1_499)
    seat.assertLives()
    const said = seat.advance(1)
    seat.assertEnded('ERR_LINE_DAMAGED')
    assert.deepEqual(names(voice.hear(said)), ['BYE'])
  })

  it('in both directions at once is noticed within 2.5 s, although each swallows the other’s question [R-053]', () => {
    const { seat, voice } = standing()
    const bytes = long(voice)
    seat.hear(bytes.subarray(0, 2000))
    // the peer asks just before we do: its own direction stands incomplete as well
    seat.advance(499)
    seat.hear(voice.say(ping(1)))
    assert.deepEqual(names(voice.hear(seat.advance(500))), ['PING'])
    // our PING wakes nobody: the peer answers by its own question, which comes when it has stalled
    seat.hear(voice.say(ping(2)))
    seat.advance(1_499)
    seat.assertLives()
    seat.advance(1)
    seat.assertEnded('ERR_LINE_DAMAGED')
  })

  it('is noticed by its checksum where the answer fills the gap [R-056]', () => {
    const { seat, voice } = standing()
    const bytes = long(voice)
    seat.hear(bytes.subarray(0, 2000), bytes.subarray(2030))
    const [asked] = voice.hear(seat.advance(1000))
    seat.hear(voice.say(pong(asked!)))
    seat.assertEnded('ERR_LINE_DAMAGED')
  })

  it('proves nothing while the peer is paused, in its header, its payload, or a hello burst', () => {
    for (const at of [1, 10, 11, 12, 3000]) {
      const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
      const bytes = long(voice)
      seat.hear(bytes.subarray(0, at))
      assert.deepEqual(names(voice.hear(seat.advance(60_000))), ['PING'], `${at}`)
      seat.assertLives()
      seat.hear(bytes.subarray(at))
      assert.deepEqual(names(voice.hear(seat.advance(900))), [])
      seat.assertLives()
    }
    const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
    const helloBurst = voice.helloBurst('stands')
    seat.hear(helloBurst.subarray(0, 100))
    seat.advance(60_000)
    seat.hear(helloBurst.subarray(100)).assertLives()
  })

  it('proves nothing where the next one is the incomplete one: the peer went on, and was paused again', () => {
    const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
    const [first, second] = [long(voice), long(voice)]
    seat.hear(first.subarray(0, 100))
    assert.deepEqual(names(voice.hear(seat.advance(1_200))), ['PING'])
    seat.hear(first.subarray(100), second.subarray(0, 100))
    seat.advance(600_000)
    seat.assertLives()
    seat.hear(second.subarray(100))
    seat.assertLives()
  })

  it('proves nothing on a slow line, where something comes all the time', () => {
    const { seat, voice } = standing()
    const bytes = long(voice)
    for (let at = 0; at < bytes.byteLength; at += 50) {
      seat.hear(bytes.subarray(at, at + 50)).advance(990)
      seat.assertLives()
    }
  })

  it('proves nothing while the own process stood still: what waited is read first [R-133]', () => {
    for (const standsStillMs of [1_600, 2_499, 2_501, HOUR]) {
      const { seat, voice } = standing()
      const bytes = long(voice)
      seat.hear(bytes.subarray(0, 100))
      voice.hear(seat.advance(1_000))
      seat.hear(bytes.subarray(100, 200))
      // the timer fires before the line is read, as it does in the event loop
      seat.standStill(standsStillMs)
      seat.assertLives()
      seat.hear(bytes.subarray(200)).assertLives()
    }
    // after more than a second of it the whole interval begins anew
    const { seat, voice } = standing()
    const bytes = long(voice)
    seat.hear(bytes.subarray(0, 100))
    voice.hear(seat.advance(1_000))
    seat.hear(bytes.subarray(100, 200))
    seat.standStill(HOUR)
    seat.advance(1_499)
    seat.assertLives()
    seat.advance(1)
    seat.assertEnded('ERR_LINE_DAMAGED')
  })

  it('is asked about as ever behind a hello burst, which may be left over', () => {
    const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
    seat.hear(voice.helloBurst('stands'), long(voice).subarray(0, 100))
    assert.deepEqual(names(voice.hear(seat.advance(1_000))), ['PING'])
  })

  it('is noticed while the line takes nothing of ours', () => {
    const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
    seat.engine.ping()
    seat.stick()
    seat.hear(long(voice).subarray(0, 100))
    assert.equal(seat.engine.deadline(), seat.now + 500)
  })

  it('is asked about once, not each second', () => {
    const { seat, voice } = standing({ limits: { keepaliveMs: HOUR } })
    seat.hear(long(voice).subarray(0, 100))
    assert.deepEqual(names(voice.hear(seat.advance(600_000))), ['PING'])
  })

  it('is nobody’s business before the session is established', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const voice = new CheckedVoice()
    voice.hear(seat.say())
    seat.hear(voice.helloBurst().subarray(0, 300))
    seat.advance(HOUR)
    seat.assertLives()
    stand(seat, voice)
  })

  it('is as good as none when the session ends: nothing is truncated on such a line', () => {
    const { seat, voice } = standing()
    seat.hear(long(voice).subarray(0, 100))
    seat.engine.linkEnded(undefined, seat.now)
    seat.assertEnded('ERR_LINK_LOST')
  })
})
