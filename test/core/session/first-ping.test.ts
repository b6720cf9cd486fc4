/**
 * The first ping of a connectionless link shares it with the hello burst: what it says of the line
 * is not believed, and data wait for one that had the line alone.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../../src/core/cbor.ts'
import type { PipeListener } from '../../../src/core/mux/pipe-state.ts'
import { Pings } from '../../../src/core/session/pings.ts'
import { answerPings, CheckedSeat } from '../../helpers/checked-seat.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'

const nothing = (): void => undefined
const LISTENER: PipeListener = {
  accepted: nothing,
  readable: nothing,
  written: nothing,
  stopped: nothing,
  confirmed: nothing,
  failed: nothing,
}

describe('the first ping of a checked session', () => {
  it('is not believed; data wait until a second one was answered, all else does not [R-323]', () => {
    const seat = new CheckedSeat()
    const voice = new CheckedVoice()
    voice.hear(seat.say())
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    seat.hear(voice.helloBurst('heard'))
    const { mux } = seat.engine
    assert.ok(mux, 'no session')
    const pipe = mux.open(encodeCbor({ protocol: 'echo' }, 4096, 'it'), LISTENER, seat.now)
    mux.write(pipe, new Uint8Array(10))
    mux.end(pipe)
    assert.deepEqual(names(voice.hear(seat.say())).slice(-2), ['PING', 'OPEN'])

    seat.now += 250 // the hello burst was before it on the line
    answerPings(seat, voice)
    assert.deepEqual(names(voice.hear(seat.say())), ['PING'])
    assert.equal(seat.engine.roundTripMs, undefined)

    seat.now += 30
    answerPings(seat, voice)
    assert.deepEqual(names(voice.hear(seat.say())), ['DATA', 'END'])
    assert.equal(seat.engine.roundTripMs, 30)
  })

  it('is believed where nothing was before it', () => {
    const pings = new Pings(0)
    pings.want()
    const asked = pings.take(0)
    assert.ok(asked)
    assert.equal(pings.answered(Pings.answer(asked, 0), 12)?.roundTripMs, 12)
    assert.deepEqual([pings.leastMs, pings.roundTripMs], [12, 12])
  })
})
