/**
 * Why there is no session on a connectionless link: echoes, lines that are not raw, plain peers,
 * hellos that nothing can come of, and floods of them.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DEFAULT_LIMITS } from '../../../src/contracts/limits.ts'
import { Engine } from '../../../src/core/session/engine.ts'
import type { Hello } from '../../../src/core/session/hello.ts'
import { CHUNKINGS } from '../../helpers/chunkings.ts'
import {
  decodedReason,
  endsAndTells,
  endsSilently,
  CheckedSeat,
  met,
  SEAT_EPOCH,
  stand,
  standing,
} from '../../helpers/checked-seat.ts'
import { memoryHeld } from '../../helpers/memory-held.ts'
import { cbor } from '../../helpers/naive-cbor.ts'
import { bigEndian, concat, encodeFrame, encodeStatus, frame, SYNC, TYPE } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { CheckedVoice, names } from '../../helpers/raw-checked.ts'
import { helloFields } from '../../helpers/raw-peer.ts'

describe('a flood of hellos', () => {
  const flood = Array.from({ length: 100 }, (_, i) => {
    const voice = new CheckedVoice({ epoch: bigEndian(1000 + i, 8) })
    voice.hear(naive.helloBurst(cbor(helloFields({ epoch: SEAT_EPOCH }))))
    return voice.helloBurst('new')
  })

  it('of ever new runs is looked at twenty times, and five times a second [R-064]', () => {
    const { seat } = met()
    const answers = (helloBursts: readonly Uint8Array[]): number =>
      helloBursts.filter((helloBurst) => seat.hear(helloBurst).say().byteLength > 0).length
    assert.equal(answers(flood), 20)
    seat.advance(500)
    seat.advance(500)
    assert.equal(answers(flood), 5)
    seat.advance(60_000)
    assert.equal(answers(flood), 20)
    seat.assertLives()
    // an honest peer greets again, and is looked at then
    const voice = new CheckedVoice({ name: 'guest' })
    voice.hear(seat.say())
    seat.hear(voice.helloBurst('new')).advance(1000)
    stand(seat, voice)
    assert.equal(seat.establishedWith, 'guest')
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
    for (const helloBurst of flood) seat.hear(helloBurst)
    const last = new CheckedVoice()
    last.hear(seat.say())
    // its hello is one too many: what it says is not said by the one that was looked at last
    seat.hear(last.helloBurst('heard'), last.helloBurst('stands'))
    assert.equal(seat.establishedWith, undefined)
    assert.deepEqual(names(last.hear(seat.advance(1000))), ['HELLO'], 'nobody is answered')
    seat.assertLives()
  })
})

describe('a line that echoes', () => {
  it('is named when the own hello has come back twice, and nobody is told [R-057]', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    const own = seat.say()
    assert.equal(seat.hear(own).say().byteLength, 0, 'once may be left over')
    seat.assertLives()
    assert.deepEqual(seat.advance(1000), own)
    endsSilently(seat.hear(own), 'ERR_SELF_CONNECTION')
  })

  it('is no peer: an echo of everything never makes a session [R-057]', () => {
    const seat = new CheckedSeat({ waitsForever: true })
    for (let i = 0; i < 10 && seat.ended === undefined; i++) seat.hear(seat.say(), seat.advance(1000))
    assert.equal(seat.establishedWith, undefined)
    seat.assertEnded('ERR_SELF_CONNECTION')
  })

  it('may have echoed once what was said before the terminal was raw', () => {
    const { seat, voice } = met()
    seat.hear(naive.helloBurst(voice.theirHello!))
    stand(seat, voice)
    assert.equal(seat.establishedWith, 'raw')
    // and an established session is not ended by what is left over
    seat.hear(naive.helloBurst(voice.theirHello!), naive.helloBurst(voice.theirHello!)).assertLives()
  })

  it('or a copy of this very machine: the same hello at both ends is no session', () => {
    const [a, b] = [new CheckedSeat({ waitsForever: true }), new CheckedSeat({ waitsForever: true })]
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

  it('is named when it has done the same to two hello bursts, and the other side is told [R-058]', () => {
    const { seat, voice } = met()
    const mangled = mangle(voice.helloBurst(), 0x0d, 0x0a)
    assert.equal(seat.hear(mangled).say().byteLength, 0)
    seat.assertLives()
    seat.advance(1000)
    seat.hear(mangled)
    assert.equal(
      decodedReason(seat),
      'the line changes bytes on their way here: 0x0d arrives as 0x0a: CR becomes NL (icrnl)',
    )
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('is not one whose terminal had not been raw yet: one burst of echoes, however many hello bursts are in it [R-470]', () => {
    const { seat, voice } = met()
    const echo = mangle(concat(seat.advance(1000), seat.advance(1000), seat.advance(1000)), 0x0d, 0x0a)
    for (const chunk of CHUNKINGS[2]!.cut(echo)) seat.hear(chunk)
    // a terminal that is raw and echoes sends them back as they are
    seat.advance(499)
    seat.hear(naive.helloBurst(voice.theirHello!), naive.helloBurst(voice.theirHello!), echo).assertLives()
    const next = new CheckedVoice()
    next.hear(seat.say())
    seat.hear(next.helloBurst())
    stand(seat, next)
    seat.assertLives()
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
      for (let i = 0; i < 2; i++) {
        seat.advance(1000)
        seat.hear(mangle(voice.helloBurst(), value, ...to), new Uint8Array(300))
      }
      endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
      assert.match(decodedReason(seat), new RegExp(named))
    }
  })

  it('is named where it has seven bits: the sync word has lost its eighth, twice [R-058]', () => {
    const { seat, voice } = met()
    const stripped = voice.helloBurst().map((byte) => byte & 0x7f)
    seat.hear(stripped).assertLives()
    seat.advance(1000)
    for (const chunk of CHUNKINGS[2]!.cut(stripped)) seat.hear(chunk)
    assert.match(decodedReason(seat), /eighth bit/)
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('has seven bits only where the whole word comes stripped: behind its own beginning too, and not but for its first byte', () => {
    const stripped = SYNC.map((byte) => byte & 0x7f)
    const { seat } = met()
    for (let i = 0; i < 4; i++) seat.hear(Uint8Array.of(0x55), stripped.subarray(1)).assertLives()
    seat.hear(stripped.subarray(0, 1), stripped).assertLives()
    seat.advance(1000)
    seat.hear(stripped.subarray(0, 1), stripped)
    endsAndTells(seat, met().voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('is no longer looked for where the peer is known: what looks so is its payload', () => {
    const { seat, voice } = standing()
    const stripped = SYNC.map((byte) => byte & 0x7f)
    seat.hear(voice.say(frame(0x7f, 0, concat(stripped, stripped, stripped)))).assertLives()
  })

  it('is damaged where its session is established, whatever it has done before', () => {
    const { seat, voice } = met()
    voice.hear(seat.hear(voice.helloBurst('new')).say())
    const mangled = mangle(voice.helloBurst(), 0x0d, 0x0a)
    seat.hear(mangled, voice.helloBurst('heard'))
    assert.equal(seat.establishedWith, 'raw')
    seat.hear(mangled).assertEnded('ERR_LINE_DAMAGED')
  })

  it('is not one that was hit by an accident, another each time, with a good hello burst between', () => {
    const { seat, voice } = met()
    seat.hear(mangle(voice.helloBurst(), 0x42)).assertLives()
    seat.hear(mangle(voice.helloBurst(), 0x43)).assertLives()
    // the same as the first, but not twice in a row
    seat.hear(mangle(voice.helloBurst(), 0x42)).assertLives()
    seat.hear(new CheckedVoice().helloBurst()).assertLives()
    seat.hear(mangle(voice.helloBurst(), 0x42)).assertLives()
  })

  it('is looked at twenty times, and five times a second: it costs', () => {
    const { seat, voice } = met()
    const mangled = (value: number): Uint8Array => mangle(voice.helloBurst(), value)
    for (let i = 0; i < 40; i++) seat.hear(mangled(0x20 + i))
    // the same twice, but nobody looks
    seat.hear(mangled(0x80), mangled(0x80)).assertLives()
    seat.advance(1000)
    seat.hear(mangled(0x80))
    seat.advance(1000)
    seat.hear(mangled(0x80))
    endsAndTells(seat, voice, 'ERR_LINE_NOT_RAW', 36)
  })

  it('hears that the other side got it mangled', () => {
    const { seat, voice } = met()
    seat.hear(voice.farewell(encodeStatus({ number: 36, name: '', sentence: 'the line changes bytes' })))
    seat.assertEnded('ERR_LINE_NOT_RAW', 'remote')
    assert.equal(seat.say().byteLength, 0, 'nobody answers a goodbye')
  })
})

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
    const seat = new CheckedSeat({ waitsForever: true })
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
      for (const chunk of cut(voice.helloBurst())) engine.receive(chunk, 0)
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
      const voice = new CheckedVoice(fields)
      seat.hear(voice.helloBurst())
      endsAndTells(seat, voice, code, number)
    })

    it(`is refused so where another one was there before: ${what}`, () => {
      const { seat, voice: before } = met()
      before.hear(seat.hear(before.helloBurst('new')).say())
      const voice = new CheckedVoice(fields)
      seat.hear(voice.helloBurst())
      endsAndTells(seat, voice, code, number)
    })
  }

  it('is what a side is told that connects: the code, from the other side', () => {
    for (const knowsUs of [true, false]) {
      const { seat, voice } = met(false)
      const payload = encodeStatus({ number: 23, name: '', sentence: 'this side requires a token' })
      seat.hear(knowsUs ? concat(voice.helloBurst(), voice.say(frame(TYPE.BYE, 0, payload))) : voice.farewell(payload))
      seat.assertEnded('ERR_AUTH_REQUIRED', 'remote')
    }
  })

  it('is not said in a goodbye that is somebody else’s', () => {
    const { seat, voice } = met()
    const payload = encodeStatus({ number: 23, name: '', sentence: 'not yours' })
    const other = naive.startOfCrc(voice.epoch, bigEndian(99, 8))
    seat.hear(voice.helloBurst(), naive.encodeChecked(frame(TYPE.BYE, 0, payload), other).bytes).assertLives()
    stand(seat, voice)
    seat.assertLives()
  })
})
