/**
 * The recorded session of test/fixtures/wire/session.json, played against the real engine as side
 * a: b's bytes go in, a's must come out, byte for byte, whole and byte by byte. What a's user does
 * at each step is written here.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { encodeCbor } from '../../../src/core/cbor.ts'
import { DEFAULT_LIMITS } from '../../../src/contracts/limits.ts'
import type { PipeListener, PipeState } from '../../../src/core/mux/pipe-state.ts'
import { Engine } from '../../../src/core/session/engine.ts'
import type { Hello } from '../../../src/core/session/hello.ts'
import { CHUNKINGS, type Chunking } from '../../helpers/chunkings.ts'
import { concat, decodeFrames, fromHex, hex, TYPE } from '../../helpers/naive-codec.ts'
import { revive, wireFixture } from '../../helpers/wire-fixtures.ts'

const { steps } = wireFixture('session.json')
const hello = revive(wireFixture('hellos.json').hellos[0]?.fields) as Hello

/** Side a, with what its user saw. */
class SideA {
  readonly seen: string[] = []
  readonly engine: Engine
  readonly #pipes = new Map<number, PipeState>()

  constructor() {
    this.engine = new Engine({
      hello,
      limits: DEFAULT_LIMITS,
      preferredFrameBytes: 65_536,
      now: 0,
      host: {
        wake: () => undefined,
        established: (peer) => this.seen.push(`session with ${peer.name}`),
        incoming: (pipe) => {
          this.#pipes.set(pipe.id, pipe)
          pipe.listener = this.#listener(pipe.id)
        },
        ponged: () => undefined,
        ended: (error) => this.seen.push(`ended: ${error?.code ?? 'well'}`),
      },
    })
  }

  pipe(id: number): PipeState {
    const pipe = this.#pipes.get(id)
    if (pipe === undefined) throw new Error(`there is no pipe ${id}`)
    return pipe
  }

  get mux(): NonNullable<Engine['mux']> {
    if (this.engine.mux === undefined) throw new Error('there is no session')
    return this.engine.mux
  }

  open(id: number, protocol: string, params: unknown): PipeState {
    const pipe = this.mux.open(encodeCbor({ protocol, params }, 4096, 'it'), this.#listener(id), 0)
    assert.equal(pipe.id, id)
    this.#pipes.set(id, pipe)
    return pipe
  }

  read(id: number): string {
    return Buffer.concat(this.mux.read(this.pipe(id), { now: () => 0 })).toString()
  }

  /** Everything that a has to send. */
  output(): Uint8Array {
    const batches: Uint8Array[] = []
    for (;;) {
      const batch = this.engine.pull(0)
      if (batch === undefined) return concat(...batches)
      batches.push(concat(...batch))
      this.engine.batchLeft()
    }
  }

  #listener(id: number): PipeListener {
    const say = (what: string) => (): void => {
      this.seen.push(`${id} ${what}`)
    }
    return {
      accepted: (reply) => this.seen.push(`${id} accepted ${hex(reply)}`),
      readable: () => undefined,
      written: () => undefined,
      stopped: say('stopped'),
      confirmed: (error) => this.seen.push(`${id} confirmed ${error?.code ?? 'well'}`),
      failed: (error) => this.seen.push(`${id} failed ${error.code}`),
    }
  }
}

/** What a's user does before each of a's steps. */
const actions: ((a: SideA) => void)[] = [
  () => undefined,
  () => undefined,
  () => undefined,
  (a) => {
    const pipe = a.open(2, 'echo', { n: 1 })
    a.mux.write(pipe, Buffer.from('hello'))
    a.mux.end(pipe)
  },
  (a) => {
    assert.equal(a.read(2), 'hello')
  },
  (a) => {
    a.mux.refuse(a.pipe(1), new TrunkError('ERR_PROTOCOL_UNKNOWN', 'protocol "nobody" is not served here'))
  },
  (a) => {
    a.mux.accept(a.pipe(3), new Uint8Array(0))
    assert.equal(a.read(3), 'x'.repeat(500))
  },
  (a) => {
    a.mux.stop(a.pipe(3), 'ERR_NO_SPACE')
    a.mux.handlerEnded(a.pipe(3))
  },
  () => undefined,
  (a) => {
    a.mux.handlerEnded(a.pipe(5))
  },
  (a) => {
    a.mux.accept(a.pipe(7), new Uint8Array(0))
    assert.equal(a.read(7), 'whole')
    a.mux.stop(a.pipe(7), 'ERR_PIPE_STOPPED')
    a.mux.handlerEnded(a.pipe(7))
  },
  () => undefined,
  (a) => {
    a.engine.close(0)
  },
]

function play(chunking: Chunking): SideA {
  const a = new SideA()
  let turn = 0
  for (const { from, note, hex: text } of steps) {
    if (from === 'b') {
      for (const chunk of chunking.cut(fromHex(text))) a.engine.receive(new Uint8Array(chunk), 0)
    } else {
      actions[turn++]?.(a)
      assert.equal(hex(a.output()), text, note)
    }
  }
  assert.equal(turn, actions.length)
  return a
}

describe('the golden session', () => {
  it('is recorded as frames that decode to what it says', () => {
    for (const [i, { frames, hex: text }] of steps.entries()) {
      const bytes = fromHex(text).subarray(i < 2 ? 8 : 0)
      const decoded = decodeFrames(bytes)
      assert.equal(decoded.rest.byteLength, 0)
      const expected = frames.map(({ typeName, pipe, flags, payload }) => [TYPE[typeName], pipe, flags, payload])
      const actual = decoded.frames.map(({ type, pipe, flags, payload }) => [type, pipe, flags, hex(payload)])
      assert.deepEqual(actual, expected)
    }
  })

  for (const chunking of CHUNKINGS) {
    it(`comes out of the engine byte for byte, b’s side fed ${chunking.name}`, () => {
      const a = play(chunking)
      assert.deepEqual(a.seen, [
        'session with host',
        '2 accepted a1626f6bf5',
        '2 confirmed well',
        '3 confirmed well',
        '5 failed ERR_ABORTED',
        '7 confirmed well',
        'ended: well',
      ])
      assert.deepEqual(a.mux.counters, { lateFrames: 0, staleCredits: 0, refusedOpens: 0 })
      assert.equal(a.mux.pipes.size, 0)
    })
  }
})
