/**
 * Two sessions that outlive their links, without line or timer: links that carry a random part of
 * what they hold and are lost at any byte, others that take their place. Pipes on both
 * sides write streams that follow from a key, and what is read is held against it.
 */
import assert from 'node:assert/strict'
import { TrunkError } from '../../src/contracts/errors.ts'
import { DEFAULT_LIMITS, type Limits } from '../../src/contracts/limits.ts'
import type { PipeState } from '../../src/core/mux/pipe-state.ts'
import type { Resumable } from '../../src/core/resume/resume-handshake.ts'
import type { ResumeCrypto } from '../../src/core/resume/secret.ts'
import { Engine } from '../../src/core/session/engine.ts'
import { helloLimits, RESUME_FEATURE, type Role } from '../../src/core/session/hello.ts'
import { resumeCrypto } from '../../src/session/resume-crypto.ts'
import { keyedReader, keyedBytes } from '../helpers/keyed-stream.ts'
import { helloOf } from '../helpers/peer-hello.ts'
import { Random } from './random.ts'

const EMPTY = new Uint8Array(0)
const KEEP_MS = 60_000
const LIMITS: Readonly<Limits> = {
  ...DEFAULT_LIMITS,
  maxInFlightBytes: 64 * 1024,
  initialWindowBytes: 16 * 1024,
  maxWaitingPipes: 200,
  closeTimeoutMs: 3_600_000,
}
/** Bytes in flight and 256 KiB. */
export const MAX_RETAINED_BYTES: number = 64 * 1024 + 256 * 1024

/** One end of a link: its own engine says hello, and it goes on with what session comes of that. */
export class End {
  engine!: Engine
  readonly out: Uint8Array[] = []
  over = false
  lostTo: TrunkError | undefined

  pull(now: number): void {
    if (this.over) return
    const pieces = this.engine.pull(now)
    if (pieces === undefined) return
    for (const piece of pieces) this.out.push(new Uint8Array(piece))
    this.engine.batchLeft()
  }
}

interface Transfer {
  readonly key: number
  readonly bytes: number
  read: number
  failed: string
  confirmed: boolean
}

export class Side {
  readonly role: Role
  session: Engine | undefined
  readonly fresh: Engine[] = []
  error: TrunkError | undefined
  ended = false
  attempt = 0
  /** Who says hello in place of this side's session. */
  stranger: { readonly id: Uint8Array; readonly going: Resumable } | undefined
  /** What this side has written, by pipes that it opened. */
  readonly transfers: Transfer[] = []
  handled = 0
  /** Pipes that the peer opens wait for an answer. */
  holds = false
  wakes = 0
  /** Number of the last ping that was answered. */
  ponged = 0
  readonly #world: ResumeWorld
  #epoch: number

  constructor(world: ResumeWorld, role: Role, epoch: number) {
    this.#world = world
    this.role = role
    this.#epoch = epoch
  }

  /** The end of another link. */
  greet(): End {
    const end = new End()
    const { crypto } = this.#world
    const keyPair = crypto.keyPair()
    const own = this.role === 'connect' && this.session !== undefined && !this.ended ? this.session : undefined
    const going = this.stranger?.going ?? own
    if (going !== undefined) this.attempt++
    const named = going === undefined ? {} : { session: this.stranger?.id ?? going.secret.id, attempt: this.attempt }
    const engine: Engine = new Engine({
      hello: {
        ...helloOf(this.#epoch++, this.role),
        limits: helloLimits(LIMITS),
        features: [RESUME_FEATURE],
        resume: { key: keyPair.publicKey, keepMs: KEEP_MS, ...named },
      },
      limits: LIMITS,
      preferredFrameBytes: 4096,
      now: this.#world.now,
      resume: {
        crypto,
        keyPair,
        token: EMPTY,
        going,
        find: (id) => {
          const { session } = this
          return session !== undefined && !this.ended && compareIds(session.secret.id, id) ? session : undefined
        },
      },
      host: {
        wake: () => {
          this.wakes++
        },
        established: () => {
          if (this.session === undefined) this.session = engine
          else this.fresh.push(engine)
        },
        incoming: (pipe, head) => {
          if (!this.holds) this.#serve(engine, pipe, head)
        },
        ponged: (id) => {
          this.ponged = id
        },
        handedOver: (session) => {
          end.engine = session
        },
        ended: (error) => {
          if (engine !== this.session) return
          this.ended = true
          this.error = error
        },
      },
    })
    end.engine = engine
    return end
  }

  /** Opens a pipe that writes `bytes` bytes and is read to its end by the peer. */
  write(key: number, bytes: number): Transfer {
    const mux = this.session?.mux
    assert.ok(mux !== undefined)
    const transfer: Transfer = { key, bytes, read: 0, failed: '', confirmed: false }
    this.transfers.push(transfer)
    const head = new Uint8Array(8)
    new DataView(head.buffer).setUint32(0, key)
    new DataView(head.buffer).setUint32(4, bytes)
    let at = 0
    const chunks: Uint8Array[] = []
    const more = (): void => {
      while (at < bytes && mux.room(pipe) > 0) {
        const chunk = keyedBytes(key, at, Math.min(bytes - at, this.#world.random.scale(1, 40_000)))
        at += chunk.byteLength
        mux.write(pipe, chunk)
        chunks.push(chunk)
      }
      if (at === bytes) mux.end(pipe)
    }
    const pipe = mux.open(
      head,
      {
        accepted: () => undefined,
        readable: () => undefined,
        written: () => {
          // for the muxer they have left: a link may need them again, and has to have copies
          if (pipe.queued === 0) for (const chunk of chunks.splice(0)) chunk.fill(0xee)
          more()
        },
        stopped: (error) => {
          transfer.failed = error.code
        },
        confirmed: (error) => {
          if (error === undefined) transfer.confirmed = true
          else transfer.failed = error.code
        },
        failed: (error) => {
          transfer.failed = error.code
        },
      },
      this.#world.now,
    )
    more()
    return transfer
  }

  #serve(engine: Engine, pipe: PipeState, head: Uint8Array): void {
    const { mux } = engine
    assert.ok(mux !== undefined)
    this.handled++
    const key = new DataView(head.buffer, head.byteOffset).getUint32(0)
    const bytes = new DataView(head.buffer, head.byteOffset).getUint32(4)
    const check = keyedReader(key)
    const read = (): void => {
      for (const piece of mux.read(pipe, { now: () => this.#world.now })) check(piece)
      if (!pipe.receivedAll) return
      assert.equal(check.bytes, bytes, 'a clean end with all of it')
      mux.handlerEnded(pipe)
    }
    pipe.listener = {
      accepted: () => undefined,
      readable: read,
      written: () => undefined,
      stopped: () => undefined,
      confirmed: () => undefined,
      failed: () => undefined,
    }
    mux.accept(pipe, EMPTY)
  }
}

export class ResumeWorld {
  now = 0
  readonly random: Random
  readonly crypto: ResumeCrypto
  readonly a: Side
  readonly b: Side
  #ends: [End, End] | undefined

  constructor(seed: number, crypto: ResumeCrypto = resumeCrypto) {
    this.random = new Random(seed)
    this.crypto = crypto
    this.a = new Side(this, 'connect', 1)
    this.b = new Side(this, 'serve', 101)
  }

  get linked(): boolean {
    return this.#ends !== undefined
  }

  /** Another link between the two. */
  link(): void {
    assert.equal(this.#ends, undefined)
    this.#ends = [this.a.greet(), this.b.greet()]
  }

  /** Takes the link out, as it is. */
  detach(): [End, End] {
    const ends = this.#ends
    assert.ok(ends !== undefined)
    this.#ends = undefined
    return ends
  }

  /** Puts a link back in place of the present one. */
  attach(ends: [End, End]): void {
    this.#ends = ends
  }

  /** Everything that `from` has to say now, on its way. */
  says(from: End): Uint8Array[] {
    from.pull(this.now)
    return from.out.splice(0)
  }

  /** It arrives. */
  arrive(pieces: readonly Uint8Array[], to: End): void {
    for (const piece of pieces) to.engine.receive(new Uint8Array(piece), this.now)
  }

  /** The link is lost: at once at one side or both, and what is under way with it. */
  cut(): void {
    const ends = this.#ends
    if (ends === undefined) return
    this.#ends = undefined
    const order = this.random.chance(0.5) ? ends : [...ends].reverse()
    const silent = this.random.chance(0.3)
    for (const [at, end] of order.entries()) {
      end.over = true
      // the serving side may not notice before the next link comes
      if (silent && at === 1 && end.engine === this.b.session) continue
      end.engine.linkEnded(new TrunkError('ERR_LINK_RESET', 'cut'), this.now)
    }
  }

  /** One step: both sides may say something, and part of what is under way arrives. */
  step(): void {
    this.now += this.random.scale(1, 40)
    const ends = this.#ends
    for (const side of [this.a, this.b]) {
      const { session } = side
      if (session !== undefined && session.state !== 'ended' && session.deadline() <= this.now) session.tick(this.now)
    }
    if (ends === undefined) return
    for (const [at, end] of ends.entries()) {
      if (this.random.chance(0.7)) end.pull(this.now)
      const other = ends[1 - at]
      if (other !== undefined && this.random.chance(0.8)) this.#deliver(end, other)
    }
  }

  #deliver(from: End, to: End): void {
    let left = this.random.scale(1, 30_000)
    while (left > 0) {
      const piece = from.out.shift()
      if (piece === undefined) return
      if (piece.byteLength > left) from.out.unshift(piece.subarray(left))
      const part = piece.subarray(0, left)
      left -= part.byteLength
      if (!to.over) to.engine.receive(new Uint8Array(part), this.now)
    }
  }

  /** Steps until `done`, at most `steps`. */
  until(done: () => boolean, steps = 20_000): void {
    for (let step = 0; step < steps; step++) {
      if (done()) return
      this.step()
    }
    assert.fail(`not within ${steps} steps: ${this.describe()}`)
  }

  describe(): string {
    return [this.a, this.b]
      .map(({ role, session, error, transfers }) => {
        const log = session?.isResumable === true ? session.stream.log : undefined
        const left = transfers.filter(({ confirmed }) => !confirmed).length
        return `${role}: ${session?.state} ${error?.code ?? ''} A ${log?.acknowledged} S ${log?.end} R ${session?.isResumable === true ? session.stream.received : '-'} resumed ${session?.resumed} left ${left}`
      })
      .join('; ')
  }

  /** J4: what one side knows to have arrived, what has, and what was sent. */
  checkPositions(): void {
    const [a, b] = [this.a.session, this.b.session]
    if (a?.isResumable !== true || b?.isResumable !== true) return
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const { log } = from.stream
      assert.ok(log.acknowledged <= to.stream.received, `A ${log.acknowledged} above R ${to.stream.received}`)
      assert.ok(to.stream.received <= log.end, `R ${to.stream.received} above S ${log.end}`)
      assert.ok(log.retained <= MAX_RETAINED_BYTES, `${log.retained} bytes are retained`)
    }
  }
}

function compareIds(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}
