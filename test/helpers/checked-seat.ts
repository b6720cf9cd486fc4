/**
 * A real engine with checked framing, under a clock that is turned by hand, with a hand-spoken side
 * opposite. No link, no promise.
 */
import assert from 'node:assert/strict'
import { TrunkError } from '../../src/contracts/errors.ts'
import { CHECKED_FRAMING_DEFAULTS, DEFAULT_LIMITS, type Limits } from '../../src/contracts/limits.ts'
import type { PipeState } from '../../src/core/mux/pipe-state.ts'
import { Engine } from '../../src/core/session/engine.ts'
import { checksumTools } from '../../src/session/checksum-tools.ts'
import type { Hello } from '../../src/core/session/hello.ts'
import { tokenAuthenticator } from '../../src/session/token.ts'
import { concat, frame, TYPE, type WireFrame } from './naive-codec.ts'
import { CheckedVoice, names } from './raw-checked.ts'
import { helloFields, type HelloFields } from './raw-peer.ts'

/** How a seat is made. */
export interface SeatOptions {
  readonly hello?: Partial<Hello>
  /** The epochs that it takes in place of a stale one, in turn. @default it keeps the first */
  readonly epochs?: readonly Uint8Array[]
  readonly limits?: Partial<Limits>
  readonly token?: string
  readonly waitsForever?: boolean
  readonly now?: number
}

/** The epoch of a seat's engine where nothing else is said. */
export const SEAT_EPOCH: Uint8Array = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 7)

export class CheckedSeat {
  readonly engine: Engine
  now: number
  /** The peer's name once the session is established. */
  establishedWith: string | undefined
  /** How it ended; undefined: it has not; null: well. */
  ended: TrunkError | null | undefined
  readonly incoming: PipeState[] = []
  /** The line takes nothing: what is pulled stays with it. */
  #stuck = false

  constructor(options: SeatOptions = {}) {
    this.now = options.now ?? 0
    const limits = { ...DEFAULT_LIMITS, ...CHECKED_FRAMING_DEFAULTS, ...options.limits }
    const hello: Hello = {
      versions: [1, 1],
      epoch: SEAT_EPOCH,
      name: 'seat',
      role: 'peer',
      limits: helloFields().limits as unknown as Hello['limits'],
      protocols: [],
      features: [],
      ...options.hello,
    }
    const epochs = options.epochs?.values()
    const renewHello = (): Hello => {
      const epoch = epochs?.next().value
      assert.ok(epoch, 'no epoch is left')
      return { ...hello, epoch }
    }
    this.engine = new Engine({
      hello,
      ...(epochs === undefined ? {} : { renewHello }),
      limits,
      preferredFrameBytes: 65_536,
      checksumTools: checksumTools,
      authenticator: options.token === undefined ? undefined : tokenAuthenticator(options.token),
      waitsForever: options.waitsForever,
      now: this.now,
      host: {
        wake: () => undefined,
        established: (peer) => {
          assert.equal(this.establishedWith, undefined, 'a second session')
          this.establishedWith = peer.name
        },
        incoming: (pipe) => {
          this.incoming.push(pipe)
        },
        ponged: () => undefined,
        ended: (error) => {
          assert.equal(this.ended, undefined, 'a second end')
          this.ended = error ?? null
        },
      },
    })
  }

  /** Takes bytes, as one chunk. They belong to the engine. */
  hear(...bytes: readonly Uint8Array[]): this {
    this.engine.receive(concat(...bytes), this.now)
    return this
  }

  /** Everything that the engine has to say now. */
  say(): Uint8Array {
    const batches: Uint8Array[] = []
    while (!this.#stuck) {
      const batch = this.engine.pull(this.now)
      if (batch === undefined) break
      batches.push(concat(...batch))
      this.engine.batchLeft()
    }
    return concat(...batches)
  }

  /** The line takes what is pulled from here on and does not let go of it. Gives the batch. */
  stick(): Uint8Array {
    const batch = this.engine.pull(this.now)
    this.#stuck = true
    return concat(...(batch ?? []))
  }

  /** The line has let go. */
  unstick(): void {
    this.#stuck = false
    this.engine.batchLeft()
  }

  /**
   * Time passes; the engine is called whenever it wants to be. What it says meanwhile is collected.
   */
  advance(ms: number): Uint8Array {
    const end = this.now + ms
    const said: Uint8Array[] = []
    for (;;) {
      const at = this.engine.deadline()
      if (at > end) break
      this.now = Math.max(this.now, at)
      this.engine.tick(this.now)
      // what it wants to say is asked for later: until then it wants to be called no more
      assert.ok(this.engine.deadline() > this.now || this.ended !== undefined, 'a deadline that does not move')
      said.push(this.say())
    }
    this.now = end
    return concat(...said)
  }

  /** Time passes while the process stands still: the timers fire once, late. */
  standStill(ms: number): Uint8Array {
    this.now += ms
    if (this.engine.deadline() <= this.now) this.engine.tick(this.now)
    return this.say()
  }

  get code(): string | undefined {
    return this.ended?.code
  }

  /** It has ended with this code, and wants to be called no more. */
  assertEnded(code: string, origin: 'local' | 'remote' = 'local'): void {
    assert.ok(this.ended instanceof TrunkError, `it has not ended with ${code}`)
    assert.equal(this.ended.code, code, this.ended.message)
    assert.equal(this.ended.origin, origin)
    assert.equal(this.engine.deadline(), Infinity)
  }

  /** Nothing has gone wrong. */
  assertLives(): void {
    assert.equal(this.ended, undefined, this.ended?.message)
  }
}

/**
 * A seat and a voice whose session is established, with nothing left to say; `voice` has answered
 * the first two pings.
 */
export function standing(
  options: SeatOptions = {},
  hello: HelloFields = {},
): { seat: CheckedSeat; voice: CheckedVoice } {
  const seat = new CheckedSeat(options)
  const voice = new CheckedVoice(hello)
  stand(seat, voice)
  return { seat, voice }
}

/** Brings a session about. */
export function stand(seat: CheckedSeat, voice: CheckedVoice): void {
  voice.hear(seat.say())
  voice.hear(seat.hear(voice.helloBurst('new')).say())
  voice.hear(seat.hear(voice.helloBurst('heard')).say())
  assert.notEqual(seat.establishedWith, undefined, 'no session')
  // the first one shared the line with the helloBurst: the seat asks again before it believes in a
  // time, or sends data
  answerPings(seat, voice)
  voice.hear(seat.say())
  answerPings(seat, voice)
  seat.say()
}

/** Answers the last ping that has come. */
export function answerPings(seat: CheckedSeat, voice: CheckedVoice): void {
  const ping = voice.received.filter(({ type }) => type === TYPE.PING).at(-1)
  assert.ok(ping, 'no ping')
  seat.hear(voice.say(pong(ping)))
}

/** The answer to a PING. */
export function pong(ping: WireFrame): WireFrame {
  return frame(TYPE.PONG, 0, concat(ping.payload, new Uint8Array(8)))
}

/** A PING. */
export function ping(number = 1): WireFrame {
  const payload = new Uint8Array(16)
  payload[7] = number
  return frame(TYPE.PING, 0, payload)
}

/** A seat that has said its hello burst, and a side that has heard it. */
export function met(waitsForever = true): { seat: CheckedSeat; voice: CheckedVoice } {
  const seat = new CheckedSeat({ waitsForever })
  const voice = new CheckedVoice()
  voice.hear(seat.say())
  return { seat, voice }
}

/** The seat has ended with `code`, and says so by BYE, behind a hello burst, to `voice`. */
export function endsAndTells(seat: CheckedSeat, voice: CheckedVoice, code: string, number: number): void {
  seat.assertEnded(code)
  const said = voice.hear(seat.say())
  assert.deepEqual([names(said)[0], names(said).at(-1)], ['HELLO', 'BYE'])
  assert.equal(voice.byeNumber, number)
  assert.equal(seat.say().byteLength, 0, 'nothing follows a goodbye')
}

/** The seat has ended with `code`, and says nothing. */
export function endsSilently(seat: CheckedSeat, code: string): void {
  seat.assertEnded(code)
  assert.equal(seat.say().byteLength, 0)
}

/** The sentence that the seat ended with. */
export function decodedReason(seat: CheckedSeat): string {
  assert.ok(seat.ended, 'it has not ended')
  return seat.ended.message
}
