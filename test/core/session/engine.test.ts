/**
 * One engine by hand, without trunk, line or timer: what goes in at which time, what comes out, and
 * that an end is an end.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../../src/core/cbor.ts'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { DEFAULT_LIMITS, type Limits } from '../../../src/contracts/limits.ts'
import type { MuxCore } from '../../../src/core/mux/core.ts'
import type { PipeState } from '../../../src/core/mux/pipe-state.ts'
import { Engine } from '../../../src/core/session/engine.ts'
import { encodeHello } from '../../../src/core/session/hello.ts'
import { inWords, SETTINGS, status } from '../../helpers/mux-seat.ts'
import {
  bigEndian,
  concat,
  decodeFrames,
  encodeFrame,
  frame,
  fromBigEndian,
  SYNC,
  TYPE,
  type WireFrame,
} from '../../helpers/naive-codec.ts'
import { helloOf } from '../../helpers/peer-hello.ts'

const FRAME_BYTES = 1000

/** The peer has the larger epoch, and so the odd ids. */
const [OWN, PEER] = [helloOf(1), helloOf(2)]

interface SeatOptions {
  readonly limits?: Partial<Limits>
  readonly waitsForever?: boolean
  readonly now?: number
  readonly frameBytes?: number
  /** What the line gets back, where it wants to. */
  readonly borrowed?: Uint8Array[]
}

class Seat {
  readonly engine: Engine
  /** What the host was told, in words. */
  readonly told: string[] = []
  readonly incoming: PipeState[] = []
  /** What a handler does when a pipe comes. */
  onIncoming: (() => void) | undefined
  wakes = 0

  constructor(options: SeatOptions = {}) {
    this.engine = new Engine({
      hello: OWN,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      preferredFrameBytes: options.frameBytes ?? FRAME_BYTES,
      now: options.now ?? 0,
      ...(options.waitsForever === undefined ? {} : { waitsForever: options.waitsForever }),
      host: {
        wake: () => {
          this.wakes++
        },
        established: (peer) => this.told.push(`session with ${peer.name}`),
        ...(options.borrowed && { release: (view: Uint8Array) => options.borrowed?.push(view) }),
        incoming: (pipe) => {
          this.incoming.push(pipe)
          this.onIncoming?.()
        },
        ponged: (id, ms) => this.told.push(`pong ${id} after ${ms}`),
        ended: (error) => this.told.push(`ended ${error === undefined ? 'well' : `${error.code} ${error.origin}`}`),
      },
    })
  }

  get mux(): MuxCore {
    assert.ok(this.engine.mux !== undefined)
    return this.engine.mux
  }

  take(now: number, ...frames: readonly WireFrame[]): void {
    this.engine.receive(concat(...frames.map(encodeFrame)), now)
  }

  /** The batch that the line gets, and keeps. */
  hold(now = 0): WireFrame[] {
    const parts = this.engine.pull(now)
    if (parts === undefined) return []
    const bytes = concat(...parts)
    const greets = Buffer.from(bytes.subarray(0, 8)).equals(SYNC)
    const { frames, rest } = decodeFrames(bytes.subarray(greets ? 8 : 0))
    assert.equal(rest.byteLength, 0)
    return frames
  }

  pull(now = 0): WireFrame[] {
    const frames = this.hold(now)
    this.engine.batchLeft()
    return frames
  }

  said(now = 0): string[] {
    return this.pull(now).map(inWords)
  }

  hello(now = 0): void {
    this.engine.receive(concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, encodeHello(PEER, 4096)))), now)
  }

  ready(now = 0): void {
    this.take(now, frame(TYPE.READY, 0, encodeCbor({ epoch: OWN.epoch }, 256, 'it')))
  }

  news(): string[] {
    return this.told.splice(0)
  }
}

/** An established session whose first ping is answered. */
function standing(options: SeatOptions = {}, roundTripMs = 0): Seat {
  const seat = new Seat(options)
  const now = options.now ?? 0
  seat.pull(now)
  seat.hello(now)
  seat.pull(now)
  seat.ready(now)
  seat.pull(now)
  seat.take(now + roundTripMs, frame(TYPE.PONG, 0, concat(bigEndian(1, 8), new Uint8Array(16))))
  assert.deepEqual(seat.news(), ['session with peer 2', `pong 1 after ${roundTripMs}`])
  assert.equal(seat.engine.state, 'open')
  return seat
}

const BYE = (seat: Seat, now = 0): number | undefined =>
  seat.pull(now).find(({ type }) => type === TYPE.BYE)?.payload[1]
const ENOUGH = new TrunkError('ERR_SESSION_ABORTED', 'enough')

describe('Engine, hello', () => {
  it('Engine says hello, answers, and is established when both sides are answered', () => {
    const seat = new Seat()
    const before = seat.engine.bytesWritten
    assert.deepEqual(
      seat.hold().map(({ type }) => type),
      [TYPE.HELLO],
    )
    assert.ok(seat.engine.bytesWritten > before)
    assert.deepEqual(seat.hold(), [], 'the line holds a batch')
    seat.engine.batchLeft()
    assert.deepEqual(seat.pull(), [])
    const { wakes } = seat
    seat.hello()
    assert.ok(seat.wakes > wakes)
    assert.deepEqual(
      seat.pull().map(({ type }) => type),
      [TYPE.READY],
    )
    assert.equal(seat.engine.state, 'hello')
    assert.equal(seat.engine.mux, undefined)
    seat.ready()
    assert.equal(seat.engine.state, 'open')
    assert.deepEqual(seat.news(), ['session with peer 2'])
    assert.equal(seat.engine.peer?.name, 'peer 2')
    assert.deepEqual(seat.said(), ['PING 0 16'])
    assert.equal(seat.engine.roundTripMs, undefined)
  })

  it('Engine waits for a hello for helloTimeoutMs, and no longer', () => {
    const seat = new Seat({ now: 500 })
    seat.pull(500)
    assert.equal(seat.engine.deadline(), 10_500)
    seat.engine.tick(10_499)
    assert.deepEqual(seat.news(), [])
    seat.engine.tick(10_500)
    assert.deepEqual(seat.news(), ['ended ERR_HELLO_TIMEOUT local'])
    assert.equal(BYE(seat, 10_500), 21)
    assert.equal(seat.engine.deadline(), Infinity)
  })

  it('Engine waits for a hello without a limit where it is told to', () => {
    const seat = new Seat({ waitsForever: true })
    seat.pull()
    assert.equal(seat.engine.deadline(), Infinity)
    seat.engine.tick(1_000_000)
    assert.deepEqual(seat.news(), [])
  })

  it('Engine takes no frame from a stranger that is longer than a hello', () => {
    const seat = new Seat()
    assert.equal(seat.engine.link.maxPayload(TYPE.HELLO), 4096)
    assert.equal(seat.engine.link.maxPayload(TYPE.DATA), 4096)
    seat.engine.receive(concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, new Uint8Array(4097)))), 0)
    assert.deepEqual(seat.news(), ['ended ERR_FRAME_TOO_LARGE local'])
  })

  it('Engine takes no frame of a pipe or of the session before it is established', () => {
    for (const one of [
      frame(TYPE.OPEN, 1),
      frame(TYPE.DATA, 1, new Uint8Array(1)),
      frame(TYPE.PING, 0, new Uint8Array(16)),
    ]) {
      const seat = new Seat()
      seat.hello()
      seat.take(0, one)
      assert.deepEqual(seat.news(), ['ended ERR_PROTOCOL_VIOLATION local'])
      assert.equal(BYE(seat), 26)
    }
  })

  it('Engine says that it closes before it is established, and is over', () => {
    const seat = new Seat()
    seat.engine.close(5)
    assert.deepEqual(seat.news(), ['ended ERR_SESSION_CLOSED local'])
    const said = seat.pull()
    // who hears it has to know who speaks
    assert.deepEqual(
      said.map(({ type }) => type),
      [TYPE.HELLO, TYPE.BYE],
    )
    assert.equal(said[1]?.payload[1], 16)
  })

  it('Engine ends with the code of a goodbye before it is established, even a good one', () => {
    for (const [number, code] of [
      [16, 'ERR_SESSION_CLOSED'],
      [33, 'ERR_CLOSE_TIMEOUT'],
    ] as const) {
      const seat = new Seat()
      seat.hello()
      seat.take(0, frame(TYPE.BYE, 0, status(number)))
      assert.deepEqual(seat.news(), [`ended ${code} remote`])
      assert.equal(BYE(seat), undefined)
    }
  })
})

describe('Engine, end of the line', () => {
  it('Engine tells the loss of its line before the session, in it, and in the middle of a frame', () => {
    const early = new Seat()
    early.engine.linkEnded(undefined, 1)
    assert.deepEqual(early.news(), ['ended ERR_LINK_LOST local'])
    const late = standing()
    late.engine.linkEnded(undefined, 1)
    assert.deepEqual(late.news(), ['ended ERR_LINK_LOST local'])
    assert.deepEqual(late.pull(), [])
    const cut = standing()
    cut.engine.receive(Uint8Array.of(TYPE.PING, 0, 0), 1)
    cut.engine.linkEnded(undefined, 1)
    assert.deepEqual(cut.news(), ['ended ERR_FRAME_TRUNCATED local'])
    const failed = standing()
    failed.engine.receive(Uint8Array.of(TYPE.PING, 0, 0), 1)
    failed.engine.linkEnded(new TrunkError('ERR_LINK_FAILED', 'the cable is out'), 1)
    assert.deepEqual(failed.news(), ['ended ERR_LINK_FAILED local'])
    assert.deepEqual(failed.pull(), [])
  })
})

describe('Engine that has ended', () => {
  it('Engine ends once, and takes, sends and waits for nothing more', () => {
    const seat = standing()
    const opened = seat.mux.open(
      Uint8Array.of(1),
      {
        accepted: () => undefined,
        readable: () => undefined,
        written: () => undefined,
        stopped: () => undefined,
        confirmed: () => undefined,
        failed: (error) => seat.told.push(`pipe failed ${error.code} ${error.origin}`),
      },
      0,
    )
    assert.equal(opened.id, 2)
    seat.engine.abort(ENOUGH)
    assert.deepEqual(seat.news(), ['pipe failed ERR_SESSION_ABORTED local', 'ended ERR_SESSION_ABORTED local'])
    const { bytesRead } = seat.engine
    seat.take(2, frame(TYPE.OPEN, 1))
    seat.engine.abort(new TrunkError('ERR_LINK_LOST', 'another'))
    seat.engine.close(2)
    seat.engine.linkEnded(undefined, 2)
    seat.engine.tick(1_000_000)
    assert.deepEqual(seat.news(), [])
    assert.equal(seat.engine.bytesRead, bytesRead)
    assert.equal(seat.engine.deadline(), Infinity)
    assert.deepEqual(
      seat.pull(2).map(({ type, payload }) => [type, payload[1]]),
      [[TYPE.BYE, 17]],
    )
    assert.deepEqual(seat.pull(3), [])
    assert.equal(seat.engine.state, 'ended')
  })

  it('Engine that a handler ends in the middle of a chunk takes nothing of the rest', () => {
    const seat = standing()
    seat.onIncoming = () => {
      seat.engine.abort(ENOUGH)
    }
    const ping = frame(TYPE.PING, 0, new Uint8Array(16))
    seat.take(1, ping, frame(TYPE.OPEN, 1), frame(TYPE.OPEN, 3), ping)
    assert.equal(seat.incoming.length, 1)
    assert.deepEqual(seat.news(), ['ended ERR_SESSION_ABORTED local'])
    const said = seat.pull(1)
    assert.deepEqual(
      [said.length, said[0]?.type, said[0]?.payload[1]],
      [1, TYPE.BYE, 17],
      'no answer, only the goodbye',
    )
  })

  it('Engine that has ended keeps the whole of a chunk', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.BYE, 0, status(16)))
    assert.equal(seat.engine.kept(), 12)
    const stranger = new Seat()
    stranger.hello()
    assert.ok(stranger.engine.kept() > 50)
    const open = standing()
    open.take(1, frame(TYPE.OPEN, 1), frame(TYPE.DATA, 1, new Uint8Array(5000)))
    assert.equal(open.engine.kept(), 5000)
    open.take(1, frame(TYPE.DATA, 1, new Uint8Array(10)))
    assert.equal(open.engine.kept(), 0)
  })
})

describe('Engine, frames', () => {
  const broken: [string, WireFrame][] = [
    ['a pipe id on a frame of the session', frame(TYPE.PING, 1, new Uint8Array(16))],
    ['a flag on a frame of the session', frame(TYPE.PING, 0, new Uint8Array(16), 1)],
    ['a type above 127', frame(0x80)],
    ['flags above 127', frame(TYPE.OPEN, 1, new Uint8Array(1), 0x80)],
    ['flags above 127 on what may be skipped', frame(0x40, 0, new Uint8Array(1), 0x80)],
    ['a hello in a session', frame(TYPE.HELLO, 0, new Uint8Array(10))],
    ['a type that is none', frame(0x08)],
    ['parsed bytes that were never sent', frame(TYPE.PARSED, 0, bigEndian(1, 8))],
    ['parsed bytes above 2^53 - 1', frame(TYPE.PARSED, 0, bigEndian(2n ** 53n, 8))],
    ['a goodbye that cannot be read', frame(TYPE.BYE, 0, Uint8Array.of(0, 0, 0))],
  ]
  for (const [what, one] of broken) {
    it(`ends at ${what}`, () => {
      const seat = standing()
      seat.take(1, one)
      assert.deepEqual(seat.news(), ['ended ERR_PROTOCOL_VIOLATION local'])
      assert.equal(BYE(seat, 1), 26)
    })
  }

  it('Engine bounds data by maxFrameBytes, and other frames by what they need', () => {
    const small = standing({ limits: { maxFrameBytes: 100, maxOpenBytes: 200 } })
    assert.equal(small.engine.link.maxPayload(TYPE.DATA), 100)
    assert.equal(small.engine.link.maxPayload(TYPE.OPEN), 579)
    const open = standing({ limits: { maxFrameBytes: 100, maxOpenBytes: 2000 } })
    assert.equal(open.engine.link.maxPayload(TYPE.OPEN), 2000)
    assert.equal(standing().engine.link.maxPayload(TYPE.OPEN), 262_144)
    small.take(1, frame(TYPE.OPEN, 1), frame(TYPE.DATA, 1, new Uint8Array(100)))
    assert.deepEqual(small.news(), [])
    small.take(1, frame(TYPE.DATA, 1, new Uint8Array(101)))
    assert.deepEqual(small.news(), ['ended ERR_FRAME_TOO_LARGE local'])
  })

  it('Engine ends by a violation where a callback throws', () => {
    const seat = standing()
    seat.onIncoming = () => {
      throw new Error('a handler may not, but does')
    }
    seat.take(1, frame(TYPE.OPEN, 1))
    assert.deepEqual(seat.news(), ['ended ERR_PROTOCOL_VIOLATION local'])
    assert.equal(BYE(seat, 1), 26)
  })

  it('Engine takes a PARSED of 0', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.PARSED, 0, bigEndian(0, 8)))
    assert.deepEqual(seat.news(), [])
  })

  it('Engine sends frames of the size that the line prefers', () => {
    const seat = standing({ frameBytes: 65_536 })
    seat.take(1, frame(TYPE.OPEN, 1))
    const [pipe] = seat.incoming
    assert.ok(pipe !== undefined)
    seat.mux.accept(pipe, new Uint8Array(0))
    seat.mux.write(pipe, new Uint8Array(60_000))
    assert.deepEqual(
      seat.pull(1).map(({ payload }) => payload.byteLength),
      [0, 60_000],
    )
  })

  it('tells the muxer how near the peer is [R-325]', () => {
    for (const [first, second, room] of [
      [0, 50, 262_144],
      [1.9, 50, 262_144],
      [50, 1.9, 262_144],
      [2, 50, 65_536],
    ] as const) {
      const seat = standing({}, first)
      seat.engine.ping()
      seat.pull(first)
      const ms = first + second
      seat.take(ms, frame(TYPE.PONG, 0, concat(bigEndian(2, 8), new Uint8Array(16))))
      seat.take(ms, frame(TYPE.OPEN, 1), frame(TYPE.CREDIT, 1, bigEndian(1_000_000, 8)))
      const [pipe] = seat.incoming
      assert.ok(pipe !== undefined)
      seat.mux.accept(pipe, new Uint8Array(0))
      seat.pull(ms)
      assert.equal(seat.mux.room(pipe), room)
    }
  })

  it('Engine counts the bytes that come and go', () => {
    const seat = standing()
    const { bytesRead, bytesWritten } = seat.engine
    seat.take(1, frame(TYPE.PING, 0, new Uint8Array(16)))
    assert.equal(seat.engine.bytesRead, bytesRead + 25)
    seat.pull(1)
    assert.equal(seat.engine.bytesWritten, bytesWritten + 33)
  })

  it('Engine gives borrowed bytes back to a line that wants them', () => {
    for (const borrowed of [[], undefined]) {
      const seat = standing(borrowed && { borrowed })
      seat.take(1, frame(TYPE.OPEN, 1), frame(TYPE.DATA, 1, new Uint8Array(10_000).fill(3)))
      const [pipe] = seat.incoming
      assert.ok(pipe !== undefined)
      const pieces = seat.mux.read(pipe, { now: () => 1 })
      seat.mux.release(pieces)
      if (borrowed) assert.deepEqual(concat(...borrowed), new Uint8Array(10_000).fill(3))
    }
  })

  it('Engine skips frames that it may skip, whole and in pieces', () => {
    const seat = standing()
    const bytes = concat(
      encodeFrame(frame(0x40, 7, new Uint8Array(5000), 3)),
      encodeFrame(frame(0x7f, 0, new Uint8Array(0), 0x7f)),
      encodeFrame(frame(TYPE.PING, 0, new Uint8Array(16))),
    )
    seat.engine.receive(bytes.slice(0, 3000), 1)
    seat.engine.receive(bytes.slice(3000), 1)
    assert.equal(seat.engine.counters.skippedFrames, 2)
    assert.deepEqual(seat.said(1), ['PONG 0 24'])
    assert.deepEqual(seat.news(), [])
  })

  it('Engine answers a flood of pings once, the last of them', () => {
    const seat = standing()
    const pings = [1, 2, 3].map((byte) => frame(TYPE.PING, 0, new Uint8Array(16).fill(byte)))
    const { wakes } = seat
    seat.take(7, ...pings)
    assert.ok(seat.wakes > wakes)
    const [pong, ...rest] = seat.pull(7)
    assert.deepEqual(rest, [])
    assert.deepEqual(pong?.payload, concat(new Uint8Array(16).fill(3), bigEndian(7000, 8)))
    assert.deepEqual(seat.pull(8), [])
  })

  it('Engine counts answers to pings that it did not send', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.PONG, 0, concat(bigEndian(1, 8), new Uint8Array(16))))
    assert.equal(seat.engine.counters.strayPongs, 1)
    assert.deepEqual(seat.news(), [])
    assert.equal(seat.engine.ping(), 2)
    assert.equal(seat.engine.ping(), 2)
    seat.pull(10)
    const { wakes } = seat
    seat.take(35, frame(TYPE.PONG, 0, concat(bigEndian(2, 8), new Uint8Array(16))))
    assert.equal(seat.wakes, wakes + 1, 'on a paced line data may wait for it')
    assert.deepEqual(seat.pull(35), [])
    assert.deepEqual(seat.news(), ['pong 2 after 25'])
    assert.equal(seat.engine.counters.strayPongs, 1)
    assert.equal(seat.engine.roundTripMs, 0.125 * 25)
  })

  it('Engine measures the round trip again while bytes come in, two seconds after the last answer', () => {
    const seat = standing()
    seat.take(2000, frame(0x40))
    assert.deepEqual(seat.said(2000), [])
    seat.take(2001, frame(0x40))
    assert.deepEqual(seat.said(2001), ['PING 0 16'])
    seat.take(9000, frame(0x40))
    assert.deepEqual(seat.said(9000), [], 'one is under way')
  })

  it('Engine ignores an empty chunk, and takes any other for a sign of life', () => {
    const seat = standing()
    assert.equal(seat.engine.deadline(), 15_000)
    seat.engine.receive(new Uint8Array(0), 1000)
    assert.equal(seat.engine.deadline(), 15_000)
    seat.engine.receive(Uint8Array.of(TYPE.PING), 1000)
    assert.equal(seat.engine.deadline(), 16_000)
  })

  it('Engine says whether there may be more than fits one batch', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.OPEN, 1))
    const [pipe] = seat.incoming
    assert.ok(pipe !== undefined)
    seat.mux.accept(pipe, new Uint8Array(0))
    seat.pull(1)
    assert.equal(seat.engine.hasMore, false)
    seat.mux.write(pipe, new Uint8Array(4 * FRAME_BYTES - 5 * 9))
    seat.pull(1)
    assert.equal(seat.engine.hasMore, false)
    seat.mux.write(pipe, new Uint8Array(10_000))
    const frames = seat.pull(1)
    assert.equal(seat.engine.hasMore, true)
    assert.deepEqual(
      frames.map(({ payload }) => payload.byteLength),
      [1000, 1000, 1000, 1000],
    )
  })
})

describe('Engine with many small frames to send', () => {
  it('Engine has more to send where the batch was full, though it holds less than the line would take', () => {
    const seat = standing({ frameBytes: 65_536 })
    seat.take(1, ...Array.from({ length: 64 }, (_, i) => frame(TYPE.OPEN, 2 * i + 1)))
    // half a kibibyte each
    for (const pipe of seat.incoming) seat.mux.refuse(pipe, new TrunkError('ERR_PROTOCOL_UNKNOWN', 'x'.repeat(500)))
    let refused = 0
    let batches = 0
    do {
      refused += seat.pull(1).length
      batches++
    } while (seat.engine.hasMore)
    assert.ok(batches > 1, 'all in one')
    assert.equal(refused, seat.incoming.length)
  })
})

describe('Engine, close', () => {
  it('Engine sends CLOSING, then BYE, at once where nothing is open', () => {
    const seat = standing()
    seat.engine.close(100)
    assert.equal(seat.engine.state, 'closing')
    assert.deepEqual(
      seat.pull(100).map(({ type }) => type),
      [TYPE.CLOSING, TYPE.BYE],
    )
    assert.deepEqual(seat.news(), ['ended well'])
  })

  it('Engine that closes waits for its pipes, and sends CLOSING once, after the opens before it', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.OPEN, 1))
    const [pipe] = seat.incoming
    assert.ok(pipe !== undefined)
    seat.engine.close(100)
    seat.engine.close(3000)
    assert.deepEqual(
      seat.pull(100).map(({ type }) => type),
      [TYPE.CLOSING],
    )
    assert.equal(seat.engine.deadline(), 5100)
    assert.deepEqual(seat.pull(100), [])
    seat.mux.refuse(pipe, new TrunkError('ERR_PROTOCOL_UNKNOWN', 'no'))
    assert.deepEqual(
      seat.pull(100).map(({ type }) => type),
      [TYPE.REFUSE, TYPE.BYE],
    )
    assert.deepEqual(seat.news(), ['ended well'])
  })

  it('Engine that closes ends where the last pipe goes without a frame of ours', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.OPEN, 1))
    const [pipe] = seat.incoming
    assert.ok(pipe !== undefined)
    seat.mux.accept(pipe, new Uint8Array(0))
    seat.take(1, frame(TYPE.END, 1, bigEndian(0, 8)))
    seat.mux.handlerEnded(pipe)
    seat.pull(1)
    seat.engine.close(1)
    seat.pull(1)
    const { wakes } = seat
    seat.take(2, frame(TYPE.DONE, 1))
    assert.equal(seat.wakes, wakes + 1)
    assert.equal(BYE(seat, 2), 16)
    assert.deepEqual(seat.news(), ['ended well'])
  })

  it('Engine that closes cuts its pipes after closeTimeoutMs', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.OPEN, 1))
    seat.engine.close(100)
    seat.pull(100)
    seat.engine.tick(5099)
    assert.deepEqual(seat.news(), [])
    seat.engine.tick(5100)
    assert.deepEqual(seat.news(), ['ended ERR_CLOSE_TIMEOUT local'])
    assert.equal(BYE(seat, 5100), 33)
  })

  it('Engine whose peer closes ends well at its BYE, and its pipes with a code', () => {
    const seat = standing()
    seat.take(1, frame(TYPE.OPEN, 1), frame(TYPE.CLOSING))
    assert.equal(seat.engine.state, 'closing')
    assert.equal(seat.mux.closing, true)
    seat.take(2, frame(TYPE.BYE, 0, status(16)))
    assert.deepEqual(seat.news(), ['ended well'])
    assert.deepEqual(seat.pull(2), [], 'no goodbye to a goodbye')
    for (const [number, code] of [
      [33, 'ERR_CLOSE_TIMEOUT'],
      // of a newer version: an end it is
      [9999, 'ERR_SESSION_ABORTED'],
    ] as const) {
      const other = standing()
      other.take(2, frame(TYPE.BYE, 0, status(number)))
      assert.deepEqual(other.news(), [`ended ${code} remote`])
      assert.deepEqual(other.pull(2), [])
    }
  })
})

describe('Engine, time', () => {
  it('loses a line that takes no hello, also where the hello may take longer [R-557]', () => {
    const seat = new Seat({ limits: { helloTimeoutMs: 60_000 } })
    assert.equal(seat.hold(0).length, 1)
    assert.equal(seat.engine.deadline(), 10_000)
    seat.engine.tick(9_999)
    assert.deepEqual(seat.news(), [])
    seat.engine.tick(10_000)
    assert.deepEqual(seat.news(), ['ended ERR_WRITE_STALLED local'])
    assert.equal(seat.engine.deadline(), Infinity)
  })

  it('Engine loses a line that holds a batch too long, from the time 0 on too', () => {
    for (const now of [0, 77]) {
      const seat = standing({ now })
      seat.engine.ping()
      assert.equal(seat.hold(now).length, 1)
      assert.equal(seat.engine.deadline(), now + 10_000)
      seat.engine.tick(now + 9_999)
      assert.deepEqual(seat.news(), [])
      seat.engine.tick(now + 10_000)
      assert.deepEqual(seat.news(), ['ended ERR_WRITE_STALLED local'])
    }
    const seat = standing()
    seat.engine.ping()
    seat.pull(0)
    assert.equal(seat.engine.deadline(), 15_000, 'it has left')
  })

  it('Engine does not count the time that the line held a batch before there was a peer', () => {
    const seat = new Seat({ limits: { helloTimeoutMs: 60_000 } })
    seat.hold(0)
    assert.equal(seat.engine.deadline(), 10_000)
    seat.hello(9_000)
    seat.engine.batchLeft()
    seat.hold(9_500)
    seat.ready(9_900)
    assert.equal(seat.engine.deadline(), 19_900)
  })

  it('Engine pings a silent peer, and ends when it does not answer', () => {
    const seat = standing()
    seat.engine.tick(14_999)
    assert.deepEqual(seat.said(14_999), [])
    seat.engine.tick(15_000)
    assert.deepEqual(seat.said(15_000), ['PING 0 16'])
    assert.equal(seat.engine.deadline(), 25_000)
    seat.engine.tick(24_999)
    assert.deepEqual(seat.news(), [])
    seat.engine.tick(25_000)
    assert.deepEqual(seat.news(), ['ended ERR_KEEPALIVE_TIMEOUT local'])
    assert.equal(BYE(seat, 25_000), 30)
  })

  it('Engine takes a timer that is more than a second late for a suspension, and begins all times again', () => {
    const late = 1001
    const helloBurst = new Seat()
    helloBurst.engine.tick(10_000 + late)
    assert.deepEqual(helloBurst.news(), [])
    assert.equal(helloBurst.engine.deadline(), 20_000 + late)

    const closing = standing({ limits: { keepaliveMs: 600_000 } })
    closing.take(0, frame(TYPE.OPEN, 1))
    closing.engine.close(0)
    closing.pull(0)
    closing.engine.tick(5_000 + late)
    assert.deepEqual(closing.news(), [])
    assert.equal(closing.engine.deadline(), 10_000 + late)

    const writing = standing()
    writing.engine.ping()
    writing.hold(0)
    writing.engine.tick(10_000 + late)
    assert.deepEqual(writing.news(), [])
    assert.equal(writing.engine.deadline(), 15_000)

    const asking = standing()
    asking.engine.tick(15_000)
    asking.pull(15_000)
    asking.engine.tick(25_000 + late)
    assert.deepEqual(asking.news(), [])
    assert.equal(asking.engine.deadline(), 35_000 + late)

    const orphaned = standing({ limits: { keepaliveMs: 600_000, orphanTimeoutMs: 1000 } })
    orphaned.take(0, frame(TYPE.OPEN, 1))
    const [pipe] = orphaned.incoming
    assert.ok(pipe !== undefined)
    orphaned.mux.accept(pipe, new Uint8Array(0))
    orphaned.mux.handlerEnded(pipe)
    orphaned.pull(0)
    assert.equal(orphaned.engine.deadline(), 1000)
    orphaned.engine.tick(1000 + late)
    assert.equal(orphaned.engine.deadline(), 2000 + late)
    orphaned.engine.tick(2000 + late)
    assert.ok(orphaned.pull(2000 + late).some(({ type }) => type === TYPE.RESET))
  })

  it('Engine takes a timer that is a second late for a late one', () => {
    const seat = new Seat()
    seat.engine.tick(11_000)
    assert.deepEqual(seat.news(), ['ended ERR_HELLO_TIMEOUT local'])
  })

  it('Engine gives the muxer the time', () => {
    const seat = standing({ limits: { keepaliveMs: 600_000 } })
    seat.take(0, frame(TYPE.OPEN, 1))
    const [pipe] = seat.incoming
    assert.ok(pipe !== undefined)
    seat.mux.accept(pipe, new Uint8Array(0))
    seat.mux.handlerEnded(pipe)
    seat.pull(0)
    assert.equal(seat.engine.deadline(), SETTINGS.orphanTimeoutMs * 60)
    seat.engine.tick(60_000)
    const reset = seat.pull(60_000).find(({ type }) => type === TYPE.RESET)
    assert.equal(fromBigEndian(reset!.payload.subarray(0, 2)), 71n)
  })
})
