/**
 * Two strangers on a connectionless link: what is said when, until the session is established, and
 * what is said of it afterwards. One engine, one hand-spoken side.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CHUNKINGS } from '../../helpers/chunkings.ts'
import { answerPings, CheckedSeat, ping, SEAT_EPOCH, stand, standing } from '../../helpers/checked-seat.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'
import { cbor } from '../../helpers/naive-cbor.ts'
import { concat, frame, SYNC, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { fieldsOf, CheckedVoice, names } from '../../helpers/raw-checked.ts'

/** A seat whose hello burst has been heard, and the side that heard it. */
function met(): { seat: CheckedSeat; voice: CheckedVoice } {
  const seat = new CheckedSeat({ waitsForever: true })
  const voice = new CheckedVoice()
  voice.hear(seat.say())
  return { seat, voice }
}

/** What the seat's next hello burst says of it; undefined where it says nothing. */
function answered(voice: CheckedVoice, seat: CheckedSeat): unknown {
  const frames = voice.hear(seat.say())
  return frames[1] === undefined ? undefined : fieldsOf(frames[1]).state
}

/** The names of the frames that `voice` hears next. */
const heard = (voice: CheckedVoice, bytes: Uint8Array): string[] => names(voice.hear(bytes))

describe('a hello burst', () => {
  it('is said at once: sync word, probe, hello', () => {
    const seat = new CheckedSeat()
    const bytes = seat.say()
    assert.deepEqual([...bytes.subarray(0, 264)], [...SYNC, ...naive.PROBE])
    const found = naive.readChecked(bytes)
    assert.deepEqual(
      found.map(({ type }) => type),
      ['probe', 'frame'],
    )
    const [hello] = naive.framesOf(found)
    assert.deepEqual([hello?.type, hello?.pipe, hello?.flags], [TYPE.HELLO, 0, 0])
    assert.deepEqual([...(fieldsOf(hello!).epoch as Uint8Array)], [...SEAT_EPOCH])
  })

  it('is said again each second, the same each time, until it is answered', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const first = seat.say()
    assert.equal(seat.advance(999).byteLength, 0)
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(seat.advance(1), first)
      assert.equal(seat.advance(999).byteLength, 0)
    }
    const voice = new CheckedVoice()
    voice.hear(first)
    stand(seat, voice)
    seat.engine.tick(seat.now)
    const before = voice.count('HELLO')
    for (let i = 0; i < 20; i++) {
      voice.hear(seat.advance(500))
      answerPings(seat, voice)
    }
    assert.equal(voice.count('HELLO'), before, 'an established session greets nobody')
  })

  it('is of another run each time while nobody is known [R-465]', () => {
    const epochs = [1, 2, 3, 4].map((value) => new Uint8Array(8).fill(value))
    const seat = new CheckedSeat({ waitsForever: true, epochs })
    const voice = new CheckedVoice()
    voice.hear(seat.say())
    assert.deepEqual(voice.theirEpoch, SEAT_EPOCH)
    for (const epoch of epochs) {
      voice.hear(seat.advance(1000))
      assert.deepEqual(voice.theirEpoch, epoch)
    }
  })

  it('is of another run at each restoring from one snapshot, though the peer is faster than the next repetition [R-465]', () => {
    // the same bytes at the same times make the same machine; only what the kernel gives afterwards
    // is another
    const restored = [1, 2].map((value) => {
      const seat = new CheckedSeat({ waitsForever: true, epochs: [new Uint8Array(8).fill(value)] })
      const before = seat.say()
      const voice = new CheckedVoice()
      seat.hear(voice.helloBurst())
      voice.hear(seat.say())
      assert.deepEqual(voice.theirEpoch, new Uint8Array(8).fill(value))
      assert.deepEqual(voice.lastReady?.epoch, voice.epoch)
      // and the session is established by what it says now, not by what it said before
      const old = new CheckedVoice()
      old.hear(before)
      seat.hear(naive.helloBurst(voice.hello, cbor({ epoch: old.theirEpoch, state: 'heard' })))
      assert.equal(seat.establishedWith, undefined)
      stand(seat, voice)
      seat.assertLives()
      return voice.theirEpoch
    })
    assert.notDeepEqual(restored[0], restored[1])
  })

  it('stays of the run that the peer has answered, and of the one that it was told last', () => {
    const seat = new CheckedSeat({ waitsForever: true, epochs: [new Uint8Array(8).fill(1)] })
    const voice = new CheckedVoice()
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    assert.deepEqual(voice.theirEpoch, SEAT_EPOCH, 'a peer that has answered knows it')
    voice.hear(seat.hear(voice.helloBurst('heard')).say())
    assert.equal(seat.establishedWith, 'raw')
    const twice = new CheckedSeat({ waitsForever: true, epochs: [new Uint8Array(8).fill(1)] })
    twice.say()
    const late = new CheckedVoice()
    late.hear(twice.hear(late.helloBurst()).say())
    const { theirEpoch } = late
    late.hear(twice.advance(5000))
    assert.deepEqual(late.theirEpoch, theirEpoch)
  })

  it('comes back from a slow echo as its own, though it is of another run by now', () => {
    const epochs = Array.from({ length: 8 }, (_, value) => new Uint8Array(8).fill(value + 1))
    const seat = new CheckedSeat({ waitsForever: true, epochs })
    const first = seat.say()
    const second = seat.advance(1000)
    seat.advance(6000)
    seat.hear(first)
    seat.hear(second)
    seat.assertLives()
    seat.advance(500)
    seat.hear(second)
    seat.assertEnded('ERR_SELF_CONNECTION')
  })

  it('is repeated as often as the limits say', () => {
    const seat = new CheckedSeat({ waitsForever: true, limits: { helloRepeatMs: 50 } })
    const { byteLength } = seat.say()
    assert.equal(seat.advance(500).byteLength, 10 * byteLength)
  })

  it('is not piled up while the line takes nothing', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const { byteLength } = seat.stick()
    assert.equal(seat.engine.deadline(), Infinity, 'nothing to do while nobody takes the first')
    assert.equal(seat.advance(3_600_000).byteLength, 0)
    seat.unstick()
    assert.equal(seat.say().byteLength, byteLength)
  })

  it('is found behind anything, however the line cuts it', () => {
    const noise = concat(
      seededBytes(1, 5000),
      utf8('[    0.000000] Linux version 6.1\r\n'),
      SYNC.subarray(0, 7),
      SYNC.subarray(0, 3),
    )
    for (const { cut, name } of CHUNKINGS) {
      const { seat, voice } = met()
      for (const chunk of cut(concat(noise, voice.helloBurst('new')))) seat.hear(chunk)
      assert.deepEqual(answered(voice, seat), 'heard', name)
    }
  })

  it('is found behind one that was broken off, at every byte', () => {
    const whole = new CheckedVoice().helloBurst()
    for (let at = 0; at < whole.byteLength; at++) {
      const { seat, voice } = met()
      seat.hear(whole.subarray(0, at), voice.helloBurst('new'))
      assert.equal(answered(voice, seat), 'heard', `${at}`)
    }
  })

  it('that is damaged anywhere is none, and the next one is', () => {
    const { length } = met().voice.helloBurst('new')
    for (let at = 0; at < length; at++) {
      const { seat, voice } = met()
      const bad = voice.helloBurst('new')
      bad[at]! ^= 0x20
      // its hello may be right, its answer is behind it
      const state = answered(voice, seat.hear(bad))
      assert.equal(state, at < voice.helloBurst().byteLength ? undefined : 'new', `${at}`)
      seat.assertLives()
      assert.equal(answered(voice, seat.hear(voice.helloBurst('new'))), 'heard', `${at}`)
    }
  })
})

describe('from hello burst to session', () => {
  it('answers a hello at once, once', () => {
    const { seat, voice } = met()
    assert.deepEqual(heard(voice, seat.hear(voice.helloBurst()).say()), ['HELLO', 'READY'])
    assert.equal(voice.lastReady?.state, 'new')
    assert.deepEqual(voice.lastReady.epoch, voice.epoch)
    for (let i = 0; i < 10; i++) assert.equal(seat.hear(voice.helloBurst()).say().byteLength, 0, 'the same hello again')
    assert.equal(seat.establishedWith, undefined)
    // it has not been heard, as far as it knows: it repeats what it said, once a second
    assert.deepEqual(heard(voice, seat.advance(1000)), ['HELLO', 'READY'])
  })

  it('answers the first READY at once, and says that it heard it', () => {
    const { seat, voice } = met()
    assert.deepEqual(heard(voice, seat.hear(voice.helloBurst('new')).say()), ['HELLO', 'READY'])
    assert.equal(voice.lastReady?.state, 'heard')
    assert.equal(seat.hear(voice.helloBurst('new')).say().byteLength, 0, 'the same READY again')
    assert.equal(seat.establishedWith, undefined, 'nobody has heard of its READY yet')
    assert.deepEqual(heard(voice, seat.advance(1000)), ['HELLO', 'READY'])
    assert.equal(voice.lastReady.state, 'heard')
  })

  for (const state of ['heard', 'stands'] as const) {
    it(`stands by a READY that says ${state}, and sends a ping at once`, () => {
      const { seat, voice } = met()
      voice.hear(seat.hear(voice.helloBurst()).say())
      seat.hear(voice.helloBurst(state))
      assert.equal(seat.establishedWith, 'raw')
      assert.deepEqual(heard(voice, seat.say()), ['PING'])
      voice.assertClean()
    })
  }

  it('does not stand by an answer to a READY that it has not given yet, but gives it', () => {
    const { seat, voice } = met()
    // left over from when the two knew each other before
    seat.hear(voice.helloBurst('heard'))
    assert.equal(seat.establishedWith, undefined)
    assert.deepEqual(heard(voice, seat.say()), ['HELLO', 'READY'])
    seat.hear(voice.helloBurst('heard'))
    assert.equal(seat.establishedWith, 'raw')
  })

  it('stands by a frame that only an established peer can send, and takes it', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    seat.hear(voice.say(ping(9)))
    assert.equal(seat.establishedWith, 'raw')
    assert.deepEqual(heard(voice, seat.say()), ['PONG', 'PING'])
    assert.equal(voice.received.at(-2)?.payload[7], 9)
  })

  it('takes no frame of the running CRC before READYs went both ways', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst()).say())
    assert.equal(seat.hear(voice.say(ping())).say().byteLength, 0)
    assert.equal(seat.establishedWith, undefined)
    seat.assertLives()
  })

  it('takes no frame of a running CRC that began with another epoch', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    const earlier = naive.startOfCrc(voice.epoch, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    seat.hear(naive.encodeChecked(ping(), earlier).bytes)
    assert.equal(seat.establishedWith, undefined)
    seat.hear(voice.helloBurst('heard'), voice.say(ping()))
    assert.equal(seat.establishedWith, 'raw')
    seat.assertLives()
  })

  it('does not hear a READY to another hello than its own: it is left over', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst()).say())
    for (const epoch of [new Uint8Array(8), SEAT_EPOCH.slice(0, 7), concat(SEAT_EPOCH, Uint8Array.of(0))]) {
      assert.equal(seat.hear(voice.helloBurst('stands', { epoch })).say().byteLength, 0)
    }
    assert.equal(seat.establishedWith, undefined)
    seat.assertLives()
  })

  it('does not hear a READY before any hello', () => {
    const { seat, voice } = met()
    const ready = voice.helloBurst('heard').subarray(naive.helloBurst(voice.hello).byteLength)
    assert.equal(seat.hear(SYNC, naive.PROBE, ready).say().byteLength, 0)
    assert.equal(seat.establishedWith, undefined)
    assert.equal(answered(voice, seat.hear(voice.helloBurst('new'))), 'heard')
  })

  it('takes the hello of another run for the peer from then on', () => {
    const { seat, voice: first } = met()
    first.hear(seat.hear(first.helloBurst('new')).say())
    const second = new CheckedVoice({ name: 'second' })
    second.hear(seat.hear(second.helloBurst()).say())
    assert.deepEqual(second.lastReady?.epoch, second.epoch)
    assert.equal(second.lastReady.state, 'new', 'what the first one said is not the second one’s')
    seat.hear(second.helloBurst('heard'))
    assert.equal(seat.establishedWith, 'second')
    assert.deepEqual(heard(second, seat.say()), ['PING'])
    answerPings(seat, second)
    seat.assertLives()
  })

  it('is told by a READY that says stands to a peer that has not heard so, and only to such a one', () => {
    const { seat, voice } = standing()
    assert.deepEqual(heard(voice, seat.hear(voice.helloBurst('heard')).say()), ['HELLO', 'READY'])
    assert.equal(voice.lastReady?.state, 'stands')
    assert.equal(seat.hear(voice.helloBurst('stands')).say().byteLength, 0)
    seat.hear(voice.say(ping()))
    assert.deepEqual(heard(voice, seat.say()), ['PONG'], 'the hello burst was no link of the running CRC')
    voice.assertClean()
  })

  it('has hellos that hold a sync word, stuffed', () => {
    const seat = new CheckedSeat({ hello: { epoch: SYNC } })
    const voice = new CheckedVoice({ epoch: new Uint8Array(8), challenge: undefined, padding: SYNC })
    stand(seat, voice)
    assert.deepEqual([...voice.theirEpoch], [...SYNC])
    voice.assertClean()
  })

  it('comes about between two engines, whoever begins, whatever is lost', () => {
    for (let lost = 0; lost < 64; lost++) {
      const a = new CheckedSeat({ waitsForever: true, hello: { name: 'a' } })
      const b = new CheckedSeat({
        waitsForever: true,
        hello: { name: 'b', epoch: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) },
      })
      let said = 0
      // each bit tells whether one of the first six things said is lost
      const carry = (bytes: Uint8Array, to: CheckedSeat): void => {
        if (bytes.byteLength > 0 && ((lost >> said++) & 1) === 0) to.hear(bytes)
      }
      for (let turn = 0; turn < 12; turn++) {
        for (let i = 0; i < 3; i++) {
          carry(a.say(), b)
          carry(b.say(), a)
        }
        carry(a.advance(1000), b)
        carry(b.advance(1000), a)
      }
      // where a sequenced frame of one that stands is lost, the other one learns that bytes are
      // missing: it never hangs
      const codes = [a.code, b.code]
      if (codes.every((code) => code === undefined))
        assert.deepEqual([a.establishedWith, b.establishedWith], ['b', 'a'], `${lost}`)
      else assert.ok(codes.includes('ERR_LINE_DAMAGED'), `${lost}: ${codes.join()}`)
    }
  })
})

describe('a hello that is wrong in its frame', () => {
  it('or its answer, where that is longer than an answer may be, is not heard', () => {
    const { seat, voice } = met()
    const padded = (bytes: number): Uint8Array => voice.helloBurst('new', { padding: new Uint8Array(bytes) })
    // of 257 bytes, and of 256
    assert.equal(answered(voice, seat.hear(padded(221))), 'new')
    assert.equal(answered(voice, seat.hear(padded(220))), 'heard')
  })

  it('or too long for a hello is damage in a session, and nobody’s new run', () => {
    const { seat } = standing()
    const another = new CheckedVoice({ padding: new Uint8Array(4096) })
    seat.hear(another.helloBurst()).assertEnded('ERR_LINE_DAMAGED')
    const other = standing().seat
    other.hear(new CheckedVoice({ padding: new Uint8Array(3000) }).helloBurst()).assertEnded('ERR_PEER_RESTARTED')
  })

  it('is damage, and no hello', () => {
    const { seat, voice } = met()
    for (const wrong of [
      naive.checkedFrame(frame(TYPE.HELLO, 1, voice.hello), 0),
      naive.checkedFrame(frame(TYPE.HELLO, 0, voice.hello, 1), 0),
      naive.checkedFrame(frame(TYPE.HELLO), 0),
    ]) {
      assert.equal(seat.hear(SYNC, naive.PROBE, wrong.bytes).say().byteLength, 0)
    }
    seat.assertLives()
    const { seat: other, voice: its } = standing()
    other.hear(SYNC, naive.PROBE, naive.checkedFrame(frame(TYPE.HELLO, 1, its.hello), 0).bytes)
    other.assertEnded('ERR_LINE_DAMAGED')
  })
})
