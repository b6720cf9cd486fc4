/**
 * A side of a link with checked framing that is spoken by hand: what it says comes out as bytes,
 * what it hears goes in as bytes, and nothing happens by itself. Uses the naive codec, so nothing
 * here shares code with what it tests.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Link } from '../../src/contracts/types.ts'
import { eventually } from './eventually.ts'
import { cbor, fromCbor, type CborValue } from './naive-cbor.ts'
import { concat, decodeStatus, frame, TYPE, type TypeName, type WireFrame } from './naive-codec.ts'
import * as naive from './naive-checked-codec.ts'
import { helloFields, type HelloFields } from './raw-peer.ts'

export type ReadyState = 'new' | 'heard' | 'stands'

export class CheckedVoice {
  readonly epoch: Uint8Array
  /** The payload of its HELLO. */
  readonly hello: Uint8Array
  /** The other side's HELLO, as it came last. */
  theirHello: Uint8Array | undefined
  theirEpoch: Uint8Array = new Uint8Array(8)
  /** Every frame that was right, in order. */
  readonly received: WireFrame[] = []
  readonly findings: naive.Finding[] = []
  readonly #reader = new naive.NaiveCheckedReader()
  #runningCrc = 0

  constructor(overrides: HelloFields = {}) {
    const fields = helloFields({ epoch: new Uint8Array(randomBytes(8)), ...overrides })
    this.epoch = fields.epoch as Uint8Array
    this.hello = cbor(fields)
  }

  // --- saying ------------------------------------------------------------------------------------

  /**
   * A hello burst; with `state` it answers the hello that was heard last, unless `fields` says
   * otherwise.
   */
  helloBurst(state?: ReadyState, fields: HelloFields = {}): Uint8Array {
    const ready = state === undefined ? undefined : cbor({ epoch: this.theirEpoch, state, ...fields })
    return naive.helloBurst(this.hello, ready)
  }

  /** Frames of the running CRC. */
  say(...frames: readonly WireFrame[]): Uint8Array {
    const { bytes, sum } = naive.encodeSequence(frames, this.#runningCrc)
    this.#runningCrc = sum
    return bytes
  }

  /** A BYE to whoever is there, behind a hello burst. */
  farewell(payload: Uint8Array): Uint8Array {
    return concat(
      this.helloBurst(),
      naive.encodeChecked(frame(TYPE.BYE, 0, payload), naive.startOfCrc(this.epoch)).bytes,
    )
  }

  // --- hearing -----------------------------------------------------------------------------------

  /**
   * Reads `bytes`; gives the frames in them. A HELLO that differs from the last one is a run to be
   * known from then on.
   */
  hear(bytes: Uint8Array): WireFrame[] {
    const frames: WireFrame[] = []
    for (let found = this.#reader.next(bytes); found !== undefined; found = this.#reader.next()) {
      this.findings.push(found)
      if (found.type !== 'frame') continue
      frames.push(found.frame)
      if (found.frame.type === TYPE.HELLO) this.#met(found.frame.payload)
    }
    this.received.push(...frames)
    return frames
  }

  #met(payload: Uint8Array): void {
    if (this.theirHello !== undefined && Buffer.compare(this.theirHello, payload) === 0) return
    this.theirHello = payload
    this.theirEpoch = (fromCbor(payload) as HelloFields).epoch as Uint8Array
    this.#runningCrc = naive.startOfCrc(this.epoch, this.theirEpoch)
    this.#reader.runningCrc = naive.startOfCrc(this.theirEpoch, this.epoch)
    this.#reader.farewell = naive.startOfCrc(this.theirEpoch)
  }

  /** How many frames of a type have come. */
  count(name: TypeName): number {
    return this.received.filter(({ type }) => type === TYPE[name]).length
  }

  /** The fields of the last READY that came. */
  get lastReady(): HelloFields | undefined {
    const last = this.received.filter(({ type }) => type === TYPE.READY).at(-1)
    return last === undefined ? undefined : (fromCbor(last.payload) as HelloFields)
  }

  /** The number in the status of the last BYE that came; undefined where none did. */
  get byeNumber(): number | undefined {
    const last = this.received.filter(({ type }) => type === TYPE.BYE).at(-1)
    return last === undefined ? undefined : decodeStatus(last.payload).number
  }

  /** Nothing that came was damaged. */
  assertClean(): void {
    assert.ok(!this.findings.some(({ type }) => type === 'damage' || type === 'cut'), 'damage was heard')
  }
}

/** The fields of a frame's CBOR payload. */
export function fieldsOf(one: WireFrame): Record<string, CborValue> {
  return fromCbor(one.payload) as Record<string, CborValue>
}

/** The names of frames, for comparing what was sent. */
export function names(frames: readonly WireFrame[]): string[] {
  return frames.map(({ type }) => Object.entries(TYPE).find(([, number]) => number === type)?.[0] ?? String(type))
}

/**
 * The hand at the other end of a raw link: what it sends leaves as it is, what comes is heard by
 * whichever voice speaks now.
 */
export class HandOnLine {
  readonly #link: Link
  readonly #output: Uint8Array[] = []
  #wakeOutput: (() => void) | undefined
  #stalled: Promise<void> | undefined
  #resume: (() => void) | undefined
  /** The line has ended, or failed. */
  over = false
  voice: CheckedVoice

  constructor(link: Link, voice: CheckedVoice = new CheckedVoice()) {
    this.#link = link
    this.voice = voice
    link.sink(this.#outgoing()).catch(() => {
      // what the line does not take any more is seen by `over`
    })
    void this.#read()
  }

  /** Another program has the line from now on. It has heard nothing yet. */
  next(voice: CheckedVoice = new CheckedVoice()): CheckedVoice {
    this.voice = voice
    return voice
  }

  send(...bytes: readonly Uint8Array[]): void {
    this.#output.push(concat(...bytes))
    this.#wakeOutput?.()
  }

  /** Takes nothing from the line until {@link resume}. */
  stall(): void {
    this.#stalled = new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  resume(): void {
    this.#stalled = undefined
    this.#resume?.()
  }

  /** Waits until the voice that speaks now has heard what `check` looks for. */
  async until(check: (voice: CheckedVoice) => boolean, what: string): Promise<void> {
    await eventually(() => check(this.voice), what)
  }

  /** Brings a session about: greets until it is greeted, and so on. */
  async meet(): Promise<void> {
    const { voice } = this
    // they answer as somebody else than they greeted as, so the hello of before is not theirs any
    // more
    const before = voice.count('HELLO')
    this.send(voice.helloBurst())
    await this.until((one) => one.count('HELLO') > before, 'their hello')
    this.send(voice.helloBurst('new'))
    await this.until(({ lastReady }) => lastReady?.state === 'heard', 'that they heard')
    this.send(voice.helloBurst('heard'))
    await this.until((one) => one.count('PING') > 0, 'that their session is established')
  }

  /** The device is gone. */
  unplug(): void {
    this.#link.abort(new Error('unplugged'))
  }

  async *#outgoing(): AsyncGenerator<Uint8Array> {
    while (!this.over) {
      const next = this.#output.shift()
      if (next !== undefined) yield next
      else {
        await new Promise<void>((resolve) => {
          this.#wakeOutput = resolve
        })
      }
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const chunk of this.#link.source) {
        if (this.#stalled !== undefined) await this.#stalled
        this.voice.hear(new Uint8Array(chunk instanceof Uint8Array ? chunk : chunk.subarray()))
      }
    } catch {
      // a line that fails is over, as one that ends
    }
    this.over = true
    this.#wakeOutput?.()
  }
}
