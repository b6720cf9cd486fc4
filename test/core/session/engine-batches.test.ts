/**
 * What an engine makes of a batch on either kind of line: how large its frames are, whether there
 * is more, what of a chunk it keeps; and who is told of an end.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError, type ErrorCode } from '../../../src/contracts/errors.ts'
import { answerPings, endsSilently, CheckedSeat, met, ping, SEAT_EPOCH, standing } from '../../helpers/checked-seat.ts'
import { bigEndian, concat, frame, TYPE } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'

describe('an engine with checked framing', () => {
  it('keeps the whole of a chunk: its frames are put together from them', () => {
    const { seat, voice } = standing()
    const bytes = voice.say(ping(3))
    seat.hear(bytes)
    assert.equal(seat.engine.kept(), bytes.byteLength)
  })

  it('sends frames of at most 16 KiB, however large the line would have them', () => {
    const { seat, voice } = standing({}, { epoch: new Uint8Array(8).fill(0xff) })
    seat.hear(voice.say(frame(TYPE.OPEN, 1, new Uint8Array([0xa0]))))
    const [pipe] = seat.incoming
    const { mux } = seat.engine
    assert.ok(pipe && mux)
    mux.accept(pipe, new Uint8Array(0))
    mux.write(pipe, new Uint8Array(400_000))
    seat.hear(voice.say(frame(TYPE.CREDIT, 1, bigEndian(400_000, 8))))
    const lengths: number[] = []
    let sum = 0
    // such a line is paced: what has been parsed lets more follow
    for (let i = 0; i < 500 && sum < 400_000; i++) {
      for (const { type, payload } of voice.hear(concat(seat.say(), seat.advance(1)))) {
        if (type !== TYPE.DATA) continue
        lengths.push(payload.byteLength)
        sum += payload.byteLength
      }
      seat.hear(voice.say(frame(TYPE.PARSED, 0, bigEndian(sum, 8))))
    }
    assert.equal(sum, 400_000)
    assert.equal(Math.max(...lengths), 16 * 1024)
    voice.assertClean()
  })

  it('asks for the time of the line a second time, and sends no data before it knows it', () => {
    const seat = new CheckedSeat()
    const voice = new CheckedVoice({ epoch: new Uint8Array(8).fill(0xff) })
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    seat.hear(voice.helloBurst('heard'), voice.say(frame(TYPE.OPEN, 1, new Uint8Array([0xa0]))))
    const [pipe] = seat.incoming
    const { mux } = seat.engine
    assert.ok(pipe && mux)
    mux.accept(pipe, new Uint8Array(0))
    mux.write(pipe, new Uint8Array(100))
    assert.deepEqual(names(voice.hear(seat.say())), ['PING', 'ACCEPT'])
    answerPings(seat, voice)
    assert.equal(seat.engine.roundTripMs, undefined)
    assert.deepEqual(names(voice.hear(seat.say())), ['PING'])
    answerPings(seat, voice)
    assert.equal(seat.engine.roundTripMs, 0)
    assert.deepEqual(names(voice.hear(seat.say())), ['DATA'])
  })

  it('may have more to say after each batch: the hello has to be asked for again', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    assert.ok(seat.engine.pull(0) !== undefined)
    assert.equal(seat.engine.hasMore, true)
  })

  it('takes nothing more when it has been ended, and says so once', () => {
    const { seat, voice } = standing()
    seat.engine.abort(new TrunkError('ERR_SESSION_ABORTED', 'enough'))
    const { bytesRead } = seat.engine
    seat.hear(voice.say(ping(3)))
    assert.equal(seat.engine.bytesRead, bytesRead)
    assert.deepEqual(names(voice.hear(seat.say())), ['BYE'])
    assert.equal(seat.say().byteLength, 0)
  })
})

describe('an end before the session is established with checked framing', () => {
  const concerning: readonly ErrorCode[] = [
    'ERR_LINE_NOT_RAW',
    'ERR_LINE_MISMATCH',
    'ERR_VERSION_MISMATCH',
    'ERR_HELLO_INVALID',
    'ERR_AUTH_REQUIRED',
    'ERR_AUTH_FAILED',
    'ERR_SESSION_LIMIT',
  ]
  for (const code of concerning) {
    it(`by ${code} is told to whoever it is`, () => {
      const { seat, voice } = met()
      seat.engine.abort(new TrunkError(code, 'no'))
      assert.deepEqual(names(voice.hear(seat.say())), ['HELLO', 'BYE'])
      assert.equal(seat.say().byteLength, 0)
    })
  }

  it('by anything else is told to nobody: the next one to listen may be another', () => {
    for (const code of ['ERR_SESSION_ABORTED', 'ERR_HELLO_TIMEOUT', 'ERR_SELF_CONNECTION'] as const) {
      const { seat } = met()
      seat.engine.abort(new TrunkError(code, 'no'))
      endsSilently(seat, code)
    }
  })

  it('is told to the one that is known, behind our hello and answer', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    seat.engine.abort(new TrunkError('ERR_SESSION_LIMIT', 'no'))
    const said = seat.say()
    const frames = voice.hear(said)
    assert.deepEqual(names(frames), ['HELLO', 'READY', 'BYE'])
    voice.assertClean()
    // in the running CRC of these two, not in that to whom it may concern
    const bye = naive.encodeChecked(frames.at(-1)!, naive.startOfCrc(SEAT_EPOCH, voice.epoch)).bytes
    assert.deepEqual([...said.subarray(-bye.byteLength)], [...bye])
  })

  it('is not told over a hello burst that the line has not let go of, but behind it', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const voice = new CheckedVoice()
    const first = seat.stick()
    seat.engine.abort(new TrunkError('ERR_SESSION_LIMIT', 'no'))
    assert.equal(seat.say().byteLength, 0)
    seat.unstick()
    assert.deepEqual(names(voice.hear(concat(first, seat.say()))), ['HELLO', 'HELLO', 'BYE'])
  })
})
