/**
 * How a session on a connectionless link ends: the peer starts anew, the line is damaged, or all is
 * well.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeStatus } from '../../../src/core/frame/status.ts'
import {
  answerPings,
  endsSilently,
  CheckedSeat,
  met,
  ping,
  SEAT_EPOCH,
  stand,
  standing,
} from '../../helpers/checked-seat.ts'
import { cbor } from '../../helpers/naive-cbor.ts'
import { bigEndian, concat, encodeStatus, frame, SYNC, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'

describe('a peer that starts anew', () => {
  it('ends an established session at once, and is told nothing: it knows nothing of it [R-051]', () => {
    const { seat } = standing()
    endsSilently(seat.hear(new CheckedVoice().helloBurst()), 'ERR_PEER_RESTARTED')
  })

  it('does so at any byte of a frame, and behind anything [R-051]', () => {
    const whole = standing().voice.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'a protocol' })))
    for (let at = 0; at < whole.byteLength; at++) {
      const { seat, voice } = standing()
      const open = voice.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'a protocol' })))
      seat.hear(open.subarray(0, at)).assertLives()
      endsSilently(seat.hear(new CheckedVoice().helloBurst()), 'ERR_PEER_RESTARTED')
      assert.equal(seat.incoming.length, 0)
    }
  })

  it('does so in another version too: it is the next session that cannot be', () => {
    const { seat } = standing()
    endsSilently(seat.hear(new CheckedVoice({ versions: [2, 2] }).helloBurst()), 'ERR_PEER_RESTARTED')
  })

  it('is not one whose hello comes again between two frames', () => {
    const { seat, voice } = standing()
    for (let i = 0; i < 3; i++) {
      seat.hear(voice.say(ping(i)), voice.helloBurst('stands'))
      assert.deepEqual(names(voice.hear(seat.say())), ['PONG'])
    }
    seat.assertLives()
  })

  it('is one that is set back to before it knew us: its hello comes, and comes again, without an answer [R-063]', () => {
    const { seat, voice } = standing()
    assert.equal(seat.hear(voice.helloBurst()).say().byteLength, 0)
    seat.assertLives()
    endsSilently(seat.hear(voice.helloBurst()), 'ERR_PEER_RESTARTED')
  })

  it('is one that is set back to another session: its answer is to somebody else [R-063]', () => {
    const { seat, voice } = standing()
    seat.hear(voice.helloBurst('heard', { epoch: new Uint8Array(8) })).assertLives()
    endsSilently(seat.hear(voice.helloBurst('heard', { epoch: new Uint8Array(8) })), 'ERR_PEER_RESTARTED')
  })

  it('is one that has forgotten our answer [R-063]', () => {
    const { seat, voice } = standing()
    endsSilently(seat.hear(voice.helloBurst('new')), 'ERR_PEER_RESTARTED')
  })

  it('is superseded where its running CRC begins anew: not a byte of the other copy is taken [R-063]', () => {
    const { seat, voice } = standing()
    seat.hear(voice.say(ping()))
    const copy = new CheckedVoice({ epoch: voice.epoch, name: 'raw' })
    copy.hear(naive.helloBurst(voice.theirHello!))
    seat.hear(copy.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'x' }))))
    assert.equal(seat.incoming.length, 0)
    seat.assertEnded('ERR_LINE_DAMAGED')
  })

  it('is gone when the hello of another run was heard: what it still says is left over', () => {
    const { seat, voice } = met()
    // nineteen strangers, and the twentieth is looked at; the next one is not
    for (let i = 0; i < 19; i++) seat.hear(new CheckedVoice().helloBurst())
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    assert.equal(voice.lastReady?.state, 'heard')
    seat.hear(new CheckedVoice().helloBurst(), voice.say(ping()))
    assert.equal(seat.establishedWith, undefined)
    seat.assertLives()
  })

  it('finds a session with the next one, and no byte of the old one in it', () => {
    const { seat, voice: old } = standing()
    const late = old.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'late' })))
    const voice = new CheckedVoice({ name: 'next' })
    seat.hear(voice.helloBurst()).assertEnded('ERR_PEER_RESTARTED')
    const next = new CheckedSeat({ hello: { epoch: bigEndian(8, 8) }, now: seat.now })
    next.hear(late)
    stand(next, voice)
    assert.equal(next.establishedWith, 'next')
    next.hear(late).assertEnded('ERR_LINE_DAMAGED')
    assert.equal(next.incoming.length, 0)
  })
})

describe('a damaged line', () => {
  it('ends an established session, with a code that the other side hears [R-053]', () => {
    for (const damage of [
      utf8('[  1.0] a message of the kernel\r\n'),
      naive.encodeChecked(ping(), 0).bytes,
      concat(
        SYNC,
        naive.PROBE.map((byte) => byte ^ 1),
      ),
      concat(SYNC, naive.PROBE, utf8('not a hello')),
    ]) {
      const { seat, voice } = standing()
      seat.hear(damage)
      seat.assertEnded('ERR_LINE_DAMAGED')
      const said = voice.hear(seat.say())
      assert.deepEqual(names(said), ['BYE'])
      assert.equal(decodeStatus(said[0]!.payload, 'ERR_IO')?.code, 'ERR_LINE_DAMAGED')
    }
  })

  it('ends one where a frame is missing, one comes twice, or one is of an earlier session [R-056]', () => {
    const { seat, voice } = standing()
    voice.say(ping(1))
    seat.hear(voice.say(ping(2))).assertEnded('ERR_LINE_DAMAGED')

    const twice = standing()
    const said = twice.voice.say(ping(1))
    twice.seat.hear(said).assertLives()
    twice.seat.hear(said).assertEnded('ERR_LINE_DAMAGED')
  })

  it('ends one whose frame was broken off by a hello burst of the same run', () => {
    const { seat, voice } = standing()
    const half = voice.say(ping(1)).subarray(0, 12)
    seat.hear(half, voice.helloBurst('stands')).assertEnded('ERR_LINE_DAMAGED')
  })

  it('ends none that does not stand: what is damaged is skipped', () => {
    const { seat, voice } = met()
    seat.hear(voice.helloBurst('new').subarray(0, 400), utf8('a message'), voice.helloBurst('new'))
    voice.hear(seat.say())
    seat.hear(naive.encodeChecked(ping(), 77).bytes).assertLives()
    seat.hear(voice.helloBurst('heard')).assertLives()
    assert.equal(seat.establishedWith, 'raw')
  })

  it('is an end like others: a frame that breaks the rules still is a violation, and is told', () => {
    const { seat, voice } = standing()
    seat.hear(voice.say(frame(0x20, 1)))
    seat.assertEnded('ERR_PROTOCOL_VIOLATION')
    voice.hear(seat.say())
    assert.equal(voice.byeNumber, 26)
  })
})

describe('a session that ends well', () => {
  it('says BYE in its running CRC, and hears the other side’s', () => {
    const { seat, voice } = standing()
    seat.engine.close(seat.now)
    assert.deepEqual(names(voice.hear(seat.say())), ['CLOSING', 'BYE'])
    voice.assertClean()
    assert.equal(seat.ended, null)

    const other = standing()
    other.seat.hear(other.voice.say(frame(TYPE.BYE, 0, encodeStatus({ number: 16, name: '', sentence: 'closed' }))))
    assert.equal(other.seat.ended, null)
    assert.equal(other.seat.say().byteLength, 0)
  })

  it('takes pipes as on any line, with payloads that hold sync words', () => {
    const { seat, voice } = standing({ hello: { epoch: SEAT_EPOCH } }, { epoch: new Uint8Array(8).fill(0xff) })
    seat.hear(voice.say(frame(TYPE.OPEN, 1, cbor({ protocol: 'x' })), frame(TYPE.DATA, 1, concat(SYNC, SYNC))))
    const [pipe] = seat.incoming
    const { mux } = seat.engine
    assert.ok(pipe && mux)
    mux.accept(pipe, new Uint8Array(0))
    assert.deepEqual([...concat(...mux.read(pipe, { now: () => seat.now }))], [...SYNC, ...SYNC])
    mux.write(pipe, SYNC)
    const said = voice.hear(seat.say())
    assert.deepEqual(names(said).slice(0, 2), ['ACCEPT', 'DATA'])
    assert.deepEqual([...said[1]!.payload], [...SYNC])
    voice.assertClean()
    answerPings(seat, voice)
  })

  it('says nothing when it is closed before it stands, but that nobody waits any more', () => {
    const { seat } = met()
    seat.engine.close(seat.now)
    endsSilently(seat, 'ERR_SESSION_CLOSED')
  })
})
