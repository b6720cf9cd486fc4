/** How a session on a line that does not tell ends, or does not come to be: restarts, echoes, lines that are not raw, plain peers, damage. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeStatus } from '../../src/frame/status.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { Engine } from '../../src/session/engine.ts'
import type { Hello } from '../../src/session/hello.ts'
import { CHUNKINGS } from '../helpers/chunkings.ts'
import { answerPings, GuardedSeat, ping, SEAT_EPOCH, stand, standing } from '../helpers/guarded-seat.ts'
import { memoryHeld } from '../helpers/memory-held.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { bigEndian, concat, encodeFrame, encodeStatus, frame, SYNC, TYPE, utf8 } from '../helpers/naive-codec.ts'
import * as naive from '../helpers/naive-guarded-codec.ts'
import { GuardedVoice, names } from '../helpers/raw-guarded.ts'
import { helloFields } from '../helpers/raw-peer.ts'

/** A seat that has said its greeting, and a side that has heard it. */
function met(patient = true): { seat: GuardedSeat; voice: GuardedVoice } {
  const seat = new GuardedSeat({ patient })
  const voice = new GuardedVoice()
  voice.hear(seat.say())
  return { seat, voice }
}

/** The seat has ended with `code`, and says so by BYE, behind a greeting, to `voice`. */
function endsAndTells(seat: GuardedSeat, voice: GuardedVoice, code: string, number: number): void {
  seat.assertEnded(code)
  const said = voice.hear(seat.say())
  assert.deepEqual([names(said)[0], names(said).at(-1)], ['HELLO', 'BYE'])
  assert.equal(voice.byeNumber, number)
  assert.equal(seat.say().byteLength, 0, 'nothing follows a goodbye')
}

/** The seat has ended with `code`, and says nothing. */
function endsSilently(seat: GuardedSeat, code: string): void {
  seat.assertEnded(code)
  assert.equal(seat.say().byteLength, 0)
}

describe('a peer that starts anew', () => {
  it('ends a session that stands at once, and is told nothing: it knows nothing of it [R-051]', () => {
    const { seat } = standing()
    endsSilently(seat.hear(new GuardedVoice().greeting()), 'ERR_PEER_RESTARTED')
  })

  it('does so at any byte of a frame, and behind anything [R-051]', () => {
    const whole = standing().voice.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'a protocol' })))
    for (let at = 0; at < whole.byteLength; at++) {
      const { seat, voice } = standing()
      const open = voice.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'a protocol' })))
      seat.hear(open.subarray(0, at)).assertLives()
      endsSilently(seat.hear(new GuardedVoice().greeting()), 'ERR_PEER_RESTARTED')
      assert.equal(seat.incoming.length, 0)
    }
  })

  it('does so in another version too: it is the next session that cannot be', () => {
    const { seat } = standing()
    endsSilently(seat.hear(new GuardedVoice({ versions: [2, 2] }).greeting()), 'ERR_PEER_RESTARTED')
  })

  it('is not one whose hello comes again between two frames', () => {
    const { seat, voice } = standing()
    for (let i = 0; i < 3; i++) {
      seat.hear(voice.say(ping(i)), voice.greeting('stands'))
      assert.deepEqual(names(voice.hear(seat.say())), ['PONG'])
    }
    seat.assertLives()
  })

  it('is one that is set back to before it knew us: its hello comes, and comes again, without an answer [R-063]', () => {
    const { seat, voice } = standing()
    assert.equal(seat.hear(voice.greeting()).say().byteLength, 0)
    seat.assertLives()
    endsSilently(seat.hear(voice.greeting()), 'ERR_PEER_RESTARTED')
  })

  it('is one that is set back to another session: its answer is to somebody else [R-063]', () => {
    const { seat, voice } = standing()
    seat.hear(voice.greeting('heard', { epoch: new Uint8Array(8) })).assertLives()
    endsSilently(seat.hear(voice.greeting('heard', { epoch: new Uint8Array(8) })), 'ERR_PEER_RESTARTED')
  })

  it('is one that has forgotten our answer [R-063]', () => {
    const { seat, voice } = standing()
    endsSilently(seat.hear(voice.greeting('new')), 'ERR_PEER_RESTARTED')
  })

  it('is superseded where its chain begins anew: not a byte of the other copy is taken [R-063]', () => {
    const { seat, voice } = standing()
    seat.hear(voice.say(ping()))
    const copy = new GuardedVoice({ epoch: voice.epoch, name: 'raw' })
    copy.hear(naive.greeting(voice.theirHello!))
    seat.hear(copy.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'x' }))))
    assert.equal(seat.incoming.length, 0)
    seat.assertEnded('ERR_LINE_DAMAGED')
  })

  it('is gone when the hello of another run was heard: what it still says is left over', () => {
    const { seat, voice } = met()
    // nineteen strangers, and the twentieth is looked at; the next one is not
    for (let i = 0; i < 19; i++) seat.hear(new GuardedVoice().greeting())
    voice.hear(seat.hear(voice.greeting('new')).say())
    assert.equal(voice.lastReady?.state, 'heard')
    seat.hear(new GuardedVoice().greeting(), voice.say(ping()))
    assert.equal(seat.standsWith, undefined)
    seat.assertLives()
  })

  it('finds a session with the next one, and no byte of the old one in it', () => {
    const { seat, voice: old } = standing()
    const late = old.say(frame(TYPE.OPEN, 2, cbor({ protocol: 'late' })))
    const voice = new GuardedVoice({ name: 'next' })
    seat.hear(voice.greeting()).assertEnded('ERR_PEER_RESTARTED')
    const next = new GuardedSeat({ hello: { epoch: bigEndian(8, 8) }, now: seat.now })
    next.hear(late)
    stand(next, voice)
    assert.equal(next.standsWith, 'next')
    next.hear(late).assertEnded('ERR_LINE_DAMAGED')
    assert.equal(next.incoming.length, 0)
  })
})

describe('a flood of hellos', () => {
  const flood = Array.from({ length: 100 }, (_, i) => {
    const voice = new GuardedVoice({ epoch: bigEndian(1000 + i, 8) })
    voice.hear(naive.greeting(cbor(helloFields({ epoch: SEAT_EPOCH }))))
    return voice.greeting('new')
  })

  it('of ever new runs is looked at twenty times, and five times a second [R-064]', () => {
    const { seat } = met()
    const answers = (greetings: readonly Uint8Array[]): number =>
      greetings.filter((greeting) => seat.hear(greeting).say().byteLength > 0).length
    assert.equal(answers(flood), 20)
    seat.advance(500)
    seat.advance(500)
    assert.equal(answers(flood), 5)
    seat.advance(60_000)
    assert.equal(answers(flood), 20)
    seat.assertLives()
    // an honest peer greets again, and is looked at then
    const voice = new GuardedVoice({ name: 'guest' })
    voice.hear(seat.say())
    seat.hear(voice.greeting('new')).advance(1000)
    stand(seat, voice)
    assert.equal(seat.standsWith, 'guest')
  })

  it('that come in one chunk is answered once, costs little, and leaves nothing [R-064]', async () => {
    const { seat } = met()
    const chunk = concat(...flood)
    const most = seat.hear(flood[0]!).say().byteLength
    const before = await memoryHeld()
    const start = performance.now()
    for (let i = 0; i < 200; i++) assert.ok(seat.hear(chunk).say().byteLength <= most)
    const took = performance.now() - start
    const growth = (await memoryHeld()) - before
    assert.ok(growth < 500_000, `${growth} bytes held`)
    assert.ok(took < 5000, `took ${took} ms`)
    seat.assertLives()
  })

  it('is not what READYs of hellos that were not looked at are taken for [R-064]', () => {
    const { seat } = met()
    for (const greeting of flood) seat.hear(greeting)
    const last = new GuardedVoice()
    last.hear(seat.say())
    // its hello is one too many: what it says is not said by the one that was looked at last
    seat.hear(last.greeting('heard'), last.greeting('stands'))
    assert.equal(seat.standsWith, undefined)
    assert.deepEqual(names(last.hear(seat.advance(1000))), ['HELLO'], 'nobody is answered')
    seat.assertLives()
  })
})

describe('a line that echoes', () => {
  it('is named when the own hello has come back twice, and nobody is told [R-057]', () => {
    const seat = new GuardedSeat({ patient: true })
    const own = seat.say()
    assert.equal(seat.hear(own).say().byteLength, 0, 'once may be left over')
    seat.assertLives()
    assert.deepEqual(seat.advance(1000), own)
    endsSilently(seat.hear(own), 'ERR_SELF_CONNECTION')
  })

  it('is no peer: an echo of everything never makes a session [R-057]', () => {
    const seat = new GuardedSeat({ patient: true })
    for (let i = 0; i < 10 && seat.ended === undefined; i++) seat.hear(seat.say(), seat.advance(1000))
    assert.equal(seat.standsWith, undefined)
    seat.assertEnded('ERR_SELF_CONNECTION')
  })

  it('may have echoed once what was said before the terminal was raw', () => {
    const { seat, voice } = met()
    seat.hear(naive.greeting(voice.theirHello!))
    stand(seat, voice)
    assert.equal(seat.standsWith, 'raw')
    // and a session that stands is not ended by what is left over
    seat.hear(naive.greeting(voice.theirHello!), naive.greeting(voice.theirHello!)).assertLives()
  })

  it('or a copy of this very machine: the same hello at both ends is no session', () => {
    const [a, b] = [new GuardedSeat({ patient: true }), new GuardedSeat({ patient: true })]
    for (let i = 0; i < 3; i++) {
      const [fromA, fromB] = [concat(a.say(), a.advance(1000)), concat(b.say(), b.advance(1000))]
      a.hear(fromB)
      b.hear(fromA)
    }
    a.assertEnded('ERR_SELF_CONNECTION')
    b.assertEnded('ERR_SELF_CONNECTION')
  })
})

describe('a line that is not raw', () => {
  const mangle = (bytes: Uint8Array, from: number, ...to: number[]): Uint8Array =>
    Uint8Array.from([...bytes].flatMap((byte) => (byte === from ? to : [byte])))

  it('is named when it has done the same to two greetings, and the other side is told [R-058]', () => {
    const { seat, voice } = met()
    const mangled = mangle(voice.greeting(), 0x0d, 0x0a)
    assert.equal(seat.hear(mangled).say().byteLength, 0)
    seat.assertLives()
    seat.hear(mangled)
    assert.equal(
      decodedReason(seat),
      'the line changes bytes on their way here: 0x0d arrives as 0x0a: CR becomes NL (icrnl)',
    )
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('is named for each of the settings of a terminal, with the values [R-058]', () => {
    for (const [value, to, named] of [
      [0x0d, [0x0a], 'icrnl'],
      [0x0a, [0x0d, 0x0a], 'onlcr'],
      [0x0d, [], 'igncr'],
      [0x13, [], 'ixon'],
      [0xff, [0xff, 0xff], 'parmrk'],
    ] as const) {
      const { seat, voice } = met()
      for (let i = 0; i < 2; i++) seat.hear(mangle(voice.greeting(), value, ...to), new Uint8Array(300))
      endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
      assert.match(decodedReason(seat), new RegExp(named))
    }
  })

  it('is named where it has seven bits: the sync word has lost its eighth, twice [R-058]', () => {
    const { seat, voice } = met()
    const stripped = voice.greeting().map((byte) => byte & 0x7f)
    seat.hear(stripped).assertLives()
    for (const chunk of CHUNKINGS[2]!.cut(stripped)) seat.hear(chunk)
    assert.match(decodedReason(seat), /eighth bit/)
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('is not one that was hit by an accident, another each time, with a good greeting between', () => {
    const { seat, voice } = met()
    seat.hear(mangle(voice.greeting(), 0x42)).assertLives()
    seat.hear(mangle(voice.greeting(), 0x43)).assertLives()
    // the same as the first, but not twice in a row
    seat.hear(mangle(voice.greeting(), 0x42)).assertLives()
    seat.hear(new GuardedVoice().greeting()).assertLives()
    seat.hear(mangle(voice.greeting(), 0x42)).assertLives()
  })

  it('is looked at twenty times, and five times a second: it costs', () => {
    const { seat, voice } = met()
    const mangled = (value: number): Uint8Array => mangle(voice.greeting(), value)
    for (let i = 0; i < 40; i++) seat.hear(mangled(0x20 + i))
    // the same twice, but nobody looks
    seat.hear(mangled(0x80), mangled(0x80)).assertLives()
    seat.advance(1000)
    seat.hear(mangled(0x80), mangled(0x80))
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('hears that the other side got it mangled', () => {
    const { seat, voice } = met()
    seat.hear(voice.farewell(encodeStatus({ number: 36, name: '', sentence: 'the line changes bytes' })))
    seat.assertEnded('ERR_LINE_NOT_RAW', 'remote')
    assert.equal(seat.say().byteLength, 0, 'nobody answers a goodbye')
  })
})

/** The sentence that the seat ended with. */
function decodedReason(seat: GuardedSeat): string {
  assert.ok(seat.ended, 'it has not ended')
  return seat.ended.message
}

describe('a peer that takes the line for a plain one', () => {
  const plainHello = concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, cbor(helloFields()))))

  it('is known by its first two bytes behind the sync word, however the line cuts them', () => {
    for (const { cut } of CHUNKINGS) {
      const { seat } = met()
      for (const chunk of cut(plainHello.subarray(0, 10))) seat.hear(chunk)
      seat.assertEnded('ERR_LINE_MISMATCH')
    }
  })

  it('is greeted nevertheless, so that it knows too', () => {
    const seat = new GuardedSeat({ patient: true })
    seat.hear(plainHello).assertEnded('ERR_LINE_MISMATCH')
    const said = seat.say()
    assert.deepEqual([...said.subarray(0, 9)], [...SYNC, 0xff])
  })

  it('knows so too, however the line cuts what it hears', () => {
    const { voice } = met()
    for (const { cut, name } of CHUNKINGS) {
      let code: string | undefined
      const engine = new Engine({
        hello: { ...(helloFields() as unknown as Hello), epoch: SEAT_EPOCH },
        limits: DEFAULT_LIMITS,
        preferredFrameBytes: 65_536,
        now: 0,
        host: {
          wake: () => undefined,
          established: () => undefined,
          incoming: () => undefined,
          ponged: () => undefined,
          ended: (error) => {
            code = error?.code
          },
        },
      })
      for (const chunk of cut(voice.greeting())) engine.receive(chunk, 0)
      assert.equal(code, 'ERR_LINE_MISMATCH', name)
    }
  })

  it('is known for one in place of the peer of a session', () => {
    const { seat } = standing()
    seat.hear(plainHello).assertEnded('ERR_LINE_MISMATCH')
  })
})

describe('a hello that no session can come of', () => {
  const cases = [
    ['of another version', { versions: [2, 9] }, 'ERR_VERSION_MISMATCH', 19],
    ['without limits', { limits: {} }, 'ERR_HELLO_INVALID', 20],
    ['with a challenge, where nobody has a token', { challenge: new Uint8Array(32) }, 'ERR_AUTH_REQUIRED', 23],
  ] as const

  for (const [what, fields, code, number] of cases) {
    it(`is refused, and its sender told as a stranger: ${what}`, () => {
      const { seat } = met()
      const voice = new GuardedVoice(fields)
      seat.hear(voice.greeting())
      endsAndTells(seat, voice, code, number)
    })

    it(`is refused so where another one was there before: ${what}`, () => {
      const { seat, voice: before } = met()
      before.hear(seat.hear(before.greeting('new')).say())
      const voice = new GuardedVoice(fields)
      seat.hear(voice.greeting())
      endsAndTells(seat, voice, code, number)
    })
  }

  it('is what a side is told that connects: the code, from the other side', () => {
    for (const knowsUs of [true, false]) {
      const { seat, voice } = met(false)
      const payload = encodeStatus({ number: 23, name: '', sentence: 'this side requires a token' })
      seat.hear(knowsUs ? concat(voice.greeting(), voice.say(frame(TYPE.BYE, 0, payload))) : voice.farewell(payload))
      seat.assertEnded('ERR_AUTH_REQUIRED', 'remote')
    }
  })

  it('is not said in a goodbye that is somebody else’s', () => {
    const { seat, voice } = met()
    const payload = encodeStatus({ number: 23, name: '', sentence: 'not yours' })
    const other = naive.chainStart(voice.epoch, bigEndian(99, 8))
    seat.hear(voice.greeting(), naive.encodeGuarded(frame(TYPE.BYE, 0, payload), other).bytes).assertLives()
    stand(seat, voice)
    seat.assertLives()
  })
})

describe('a damaged line', () => {
  it('ends a session that stands, with a code that the other side hears [R-053]', () => {
    for (const damage of [
      utf8('[  1.0] a message of the kernel\r\n'),
      naive.encodeGuarded(ping(), 0).bytes,
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

  it('ends one whose frame was broken off by a greeting of the same run', () => {
    const { seat, voice } = standing()
    const half = voice.say(ping(1)).subarray(0, 12)
    seat.hear(half, voice.greeting('stands')).assertEnded('ERR_LINE_DAMAGED')
  })

  it('ends none that does not stand: what is damaged is skipped', () => {
    const { seat, voice } = met()
    seat.hear(voice.greeting('new').subarray(0, 400), utf8('a message'), voice.greeting('new'))
    voice.hear(seat.say())
    seat.hear(naive.encodeGuarded(ping(), 77).bytes).assertLives()
    seat.hear(voice.greeting('heard')).assertLives()
    assert.equal(seat.standsWith, 'raw')
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
  it('says BYE in its chain, and hears the other side’s', () => {
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
    assert.deepEqual([...concat(...mux.read(pipe, seat.now))], [...SYNC, ...SYNC])
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
