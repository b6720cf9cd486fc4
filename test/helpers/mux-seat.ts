/**
 * One muxer played by hand: frames go in, what it has to say is decoded by the second codec, and
 * what its pipes hear is written down. No time but the test's.
 */
import assert from 'node:assert/strict'
import { TrunkError } from '../../src/contracts/errors.ts'
import { FrameBatch } from '../../src/core/frame/batch.ts'
import { MuxCore } from '../../src/core/mux/core.ts'
import { TrunkPipe, type PipeOwner } from '../../src/session/pipe/pipe.ts'
import type { PipeListener, PipeState } from '../../src/core/mux/pipe-state.ts'
import type { MuxHost, MuxSettings } from '../../src/core/mux/settings.ts'
import { bigEndian, concat, decodeFrames, encodeStatus, TYPE, type TypeName, type WireFrame } from './naive-codec.ts'

/** Narrow enough that each limit can be met by hand. */
export const SETTINGS: MuxSettings = {
  takesOddIds: true,
  initialWindowBytes: 65_536,
  maxWindowBytes: 65_536,
  windowPoolBytes: 0,
  maxInFlightBytes: 1024 * 1024,
  paced: false,
  splitBytes: 16_384,
  maxFrameBytes: 65_536,
  maxOpenBytes: 4096,
  maxInbound: 10,
  maxInboundWaiting: 10,
  maxOutbound: 10,
  maxOutboundWaiting: 10,
  maxRefusals: 10,
  resetBurst: 10,
  resetsPerSecond: 1,
  peerResetBurst: 10,
  peerResetsPerSecond: 1,
  orphanTimeoutMs: 1000,
}

/** A status as a frame's payload. */
export const status = (number: number, name = '', sentence = ''): Uint8Array => encodeStatus({ number, name, sentence })

const NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, name]))

/**
 * A frame in a word or two: `DATA 1 100` with the number of its bytes, `CREDIT 1 @65636` with its
 * offset, and so on.
 */
export function inWords(frame: WireFrame): string {
  const { type, pipe, flags, payload } = frame
  const offset = type === TYPE.CREDIT || type === TYPE.END || type === TYPE.PARSED
  const value = offset ? `@${Buffer.from(payload).readBigUInt64BE()}` : `${payload.byteLength}`
  return `${NAMES.get(type) ?? type} ${pipe} ${value}${flags === 0 ? '' : ` flags ${flags}`}`
}

/**
 * Lets what promises have set off run: as many turns of the microtask queue as anything here takes.
 */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve()
}

/** What has become of a promise: `waits`, `well`, or the code of its error. */
export async function fate(promise: Promise<unknown>): Promise<string> {
  let word = 'waits'
  promise.then(
    () => {
      word = 'well'
    },
    (error: unknown) => {
      word = error instanceof TrunkError ? error.code : String(error)
    },
  )
  await turns()
  return word
}

/** The pipe has failed with this code, this cause and some sentence. */
export function failedWith({ error }: TrunkPipe, code: string, cause?: unknown): void {
  assert.ok(error)
  assert.equal(error.code, code)
  assert.deepEqual(error.cause, cause)
  assert.ok(error.message.length > 5)
}

/** Replies are text here, and this one is not valid. */
export const BAD_REPLY = 'bad'

export class MuxSeat implements MuxHost {
  readonly mux: MuxCore
  readonly batch: FrameBatch = new FrameBatch()
  /** What the pipes have heard: `1 readable`, `3 failed ERR_PIPE_RESET`. */
  readonly heard: string[] = []
  readonly released: Uint8Array[] = []
  now = 0
  wakes = 0
  gone = 0
  /** How often the peer was to be asked what it has parsed. */
  asked = 0
  roundTrip: number | undefined
  /**
   * What an empty line needs; undefined: nobody knows yet. By itself as much as a peer needs that
   * is not near.
   */
  leastRoundTrip: number | undefined = 2
  /** The last batch, as the line got it. */
  parts: readonly Uint8Array[] = []

  /** What is called when a pipe that was disposed has had its time. */
  closeTimer: (() => void) | undefined

  readonly #owner: PipeOwner = {
    now: () => this.now,
    isAttached: true,
    closeTimer: (callback) => {
      this.closeTimer = callback
      return {
        cancel: () => {
          this.closeTimer = undefined
        },
      }
    },
    decodeReply: (reply) => {
      const text = Buffer.from(reply).toString()
      if (text === BAD_REPLY) throw new RangeError('not a reply')
      return text
    },
  }

  /** What was closed has had its time. */
  passCloseTime(): void {
    this.closeTimer?.()
  }

  constructor(settings: Partial<MuxSettings> = {}) {
    this.mux = new MuxCore({ ...SETTINGS, ...settings }, this, 0)
  }

  // --- MuxHost -----------------------------------------------------------------------------------

  wake(): void {
    this.wakes++
  }

  incoming(pipe: PipeState): void {
    pipe.listener = this.listener(pipe.id)
  }

  release(view: Uint8Array): void {
    this.released.push(view)
  }

  pipeGone(): void {
    this.gone++
  }

  roundTripMs(): number | undefined {
    return this.roundTrip
  }

  askParsed(): void {
    this.asked++
  }

  minRoundTripMs(): number | undefined {
    return this.leastRoundTrip
  }

  // --- the peer ----------------------------------------------------------------------------------

  /** A frame of the peer, whole, as the engine hands it on. */
  take(name: TypeName, id: number, payload: Uint8Array = new Uint8Array(0), flags = 0): void {
    if (this.mux.header(TYPE[name], flags, id, payload.byteLength)) this.mux.piece(payload, true)
    else this.mux.frame(TYPE[name], flags, id, payload, this.now)
  }

  /** A frame of the peer that carries an offset. */
  offset(name: TypeName, id: number, offset: number | bigint): void {
    this.take(name, id, bigEndian(offset, 8))
  }

  // --- our own side ------------------------------------------------------------------------------

  pipe(id: number): PipeState {
    const pipe = this.mux.pipes.get(id)
    if (pipe === undefined) throw new Error(`there is no pipe ${id}`)
    return pipe
  }

  /** Opens a pipe; nothing is sent yet. */
  open(): PipeState {
    // the listener has to say an id that is only known afterwards
    let id = 0
    const pipe = this.mux.open(
      Uint8Array.of(1),
      this.listener(() => id),
      this.now,
    )
    id = pipe.id
    return pipe
  }

  /** A pipe of ours that the peer has accepted. */
  opened(): PipeState {
    const pipe = this.open()
    this.pull()
    this.take('ACCEPT', pipe.id)
    this.heard.length = 0
    return pipe
  }

  /** A pipe of the peer's that we have accepted. */
  accepted(id: number): PipeState {
    this.take('OPEN', id, Uint8Array.of(1))
    const pipe = this.pipe(id)
    this.mux.accept(pipe, new Uint8Array(0))
    this.pull()
    return pipe
  }

  /** What there is to send, and it leaves at once. */
  pull(maxBytes: number = Infinity): WireFrame[] {
    const frames = this.hold(maxBytes)
    this.mux.batchLeft()
    return frames
  }

  /** What there is to send; the line holds it until the test says that it has left. */
  hold(maxBytes: number = Infinity): WireFrame[] {
    this.batch.reset()
    this.mux.pull(this.batch, maxBytes, this.now)
    this.parts = this.batch.finish()
    return decodeFrames(concat(...this.parts)).frames
  }

  /** The same in words. */
  said(maxBytes: number = Infinity): string[] {
    return this.pull(maxBytes).map(inWords)
  }

  /** What the pipes have heard since the last call. */
  news(): string[] {
    return this.heard.splice(0)
  }

  listener(id: number | (() => number)): PipeListener {
    const say = (what: string): void => {
      this.heard.push(`${typeof id === 'number' ? id : id()} ${what}`)
    }
    return {
      accepted: (reply) => {
        say(`accepted ${reply.byteLength}`)
      },
      readable: () => {
        say('readable')
      },
      written: () => {
        say('written')
      },
      stopped: (error) => {
        say(`stopped ${error.code}`)
      },
      confirmed: (error) => {
        say(`confirmed ${error?.code ?? 'well'}`)
      },
      failed: (error) => {
        say(`failed ${error.code}`)
      },
    }
  }
  // --- pipes as users hold them ------------------------------------------------------------------

  /**
   * A pipe of ours, opened and not answered; what its opener is told is written down as
   * `1 answered well`.
   */
  holdOpening(): TrunkPipe {
    const pipe = new TrunkPipe(this.mux, this.#owner, 'test', (error) => {
      this.heard.push(`${pipe.id} answered ${error?.code ?? 'well'}`)
    })
    pipe.bind(this.mux.open(Uint8Array.of(1), pipe, 0))
    pipe.onOver = () => {
      this.heard.push(`${pipe.id} over`)
    }
    this.pull()
    return pipe
  }

  /** A pipe of ours that the peer has accepted. */
  holdOpened(): TrunkPipe {
    const pipe = this.holdOpening()
    this.take('ACCEPT', pipe.id)
    this.heard.length = 0
    return pipe
  }

  /** A pipe of the peer's that we have accepted. */
  holdAccepted(id: number): TrunkPipe {
    const state = this.accepted(id)
    const pipe = new TrunkPipe(this.mux, this.#owner, 'test', undefined).bind(state)
    state.listener = pipe
    pipe.onOver = () => {
      this.heard.push(`${id} over`)
    }
    return pipe
  }
}
