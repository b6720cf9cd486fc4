/**
 * The recorded checked session of test/fixtures/wire/checked.json, played against the real engine
 * as side a: b's bytes go in, a's must come out, byte for byte, however the line cuts b's. b is
 * killed inside of a frame and starts anew, and so a has two engines, one after the other.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../../src/core/cbor.ts'
import { DEFAULT_LIMITS } from '../../../src/contracts/limits.ts'
import type { PipeListener, PipeState } from '../../../src/core/mux/pipe-state.ts'
import { Engine } from '../../../src/core/session/engine.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import type { Hello } from '../../../src/core/session/hello.ts'
import { CHUNKINGS, type Chunking } from '../../helpers/chunkings.ts'
import { concat, fromHex, hex, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { revive, wireFixture } from '../../helpers/wire-fixtures.ts'

const golden = wireFixture('checked.json')
const { runs, steps } = golden.session
const hello = revive(wireFixture('hellos.json').hellos[0]?.fields) as Hello
const WORD = concat(utf8('<'), fromHex(golden.sync), utf8('>'))

/** Side a: an engine for each run, with what its user saw. */
class SideA {
  readonly seen: string[] = []
  engine: Engine
  readonly #pipes = new Map<number, PipeState>()

  constructor() {
    this.engine = this.#run(1)
  }

  /** The next run, with an epoch of its own. */
  restart(): void {
    this.engine = this.#run(2)
  }

  #run(run: 1 | 2): Engine {
    return new Engine({
      hello: { ...hello, epoch: fromHex(runs.a[run - 1]!) },
      limits: DEFAULT_LIMITS,
      preferredFrameBytes: 65_536,
      checksumTools: checksumTools,
      now: 0,
      host: {
        wake: () => undefined,
        established: (peer) => this.seen.push(`run ${run}: session with ${peer.name}`),
        incoming: (pipe) => {
          this.#pipes.set(pipe.id, pipe)
          pipe.listener = this.#listener(pipe.id)
        },
        ponged: () => undefined,
        ended: (error) => this.seen.push(`run ${run}: ended: ${error?.code ?? 'well'}`),
      },
    })
  }

  get mux(): NonNullable<Engine['mux']> {
    if (this.engine.mux === undefined) throw new Error('there is no session')
    return this.engine.mux
  }

  pipe(id: number): PipeState {
    const pipe = this.#pipes.get(id)
    if (pipe === undefined) throw new Error(`there is no pipe ${id}`)
    return pipe
  }

  open(id: number, protocol: string): PipeState {
    const pipe = this.mux.open(encodeCbor({ protocol }, 4096, 'it'), this.#listener(id), 0)
    assert.equal(pipe.id, id)
    this.#pipes.set(id, pipe)
    return pipe
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
    return {
      accepted: () => this.seen.push(`${id} accepted`),
      readable: () => undefined,
      written: () => undefined,
      stopped: () => this.seen.push(`${id} stopped`),
      confirmed: (error) => this.seen.push(`${id} confirmed ${error?.code ?? 'well'}`),
      failed: (error) => this.seen.push(`${id} failed ${error.code}`),
    }
  }
}

/** What a's user does before a's steps; nothing before the others. */
const actions: Readonly<Record<string, (a: SideA) => void>> = {
  'a opens pipe 2 and sends ten bytes with a sync word in them, stuffed': (a) => {
    const pipe = a.open(2, 'echo')
    a.mux.write(pipe, WORD)
    a.mux.end(pipe)
  },
  'pipe 2 is over': (a) => {
    assert.equal(hex(concat(...a.mux.read(a.pipe(2), { now: () => 0 }))), hex(WORD))
  },
  'a accepts': (a) => {
    a.mux.accept(a.pipe(1), new Uint8Array(0))
    assert.equal(a.pipe(1).readable, 0, 'a byte of an unfinished frame was shown')
  },
  'the next run of a': (a) => {
    assert.equal(hex(a.output()), '', 'a says nothing to a peer that does not know it')
    a.restart()
  },
  'a closes': (a) => {
    a.engine.close(0)
  },
}

function play(chunking: Chunking): SideA {
  const a = new SideA()
  for (const { from, note, hex: text } of steps) {
    if (from === 'b') {
      for (const chunk of chunking.cut(fromHex(text))) a.engine.receive(new Uint8Array(chunk), 0)
    } else {
      actions[note]?.(a)
      assert.equal(hex(a.output()), text, note)
    }
  }
  return a
}

describe('the golden checked session', () => {
  it('is recorded as frames that the naive codec reads again', () => {
    const runningCrcs = (side: 'a' | 'b', run: [a: number, b: number]): number => {
      const [a, b] = [fromHex(runs.a[run[0]]!), fromHex(runs.b[run[1]]!)]
      return side === 'a' ? naive.startOfCrc(a, b) : naive.startOfCrc(b, a)
    }
    const readers = { a: new naive.NaiveCheckedReader(), b: new naive.NaiveCheckedReader() }
    readers.a.runningCrc = runningCrcs('a', [0, 0])
    readers.b.runningCrc = runningCrcs('b', [0, 0])
    for (const { from, run, note, frames, hex: text } of steps) {
      if (run === 2 && note === 'the next run of a') {
        readers.a.runningCrc = runningCrcs('a', [1, 1])
        readers.b.runningCrc = runningCrcs('b', [1, 1])
      }
      const read = []
      for (let found = readers[from].next(fromHex(text)); found !== undefined; found = readers[from].next()) {
        assert.notEqual(found.type, 'damage', note)
        if (found.type === 'frame') read.push(found.frame)
      }
      const expected = frames.map(({ typeName, pipe, flags, payload }) => [TYPE[typeName], pipe, flags, payload])
      assert.deepEqual(
        read.map(({ type, pipe, flags, payload }) => [type, pipe, flags, hex(payload)]),
        expected,
        note,
      )
    }
  })

  it('has something to do for every action', () => {
    const notes = new Set(steps.map(({ note }) => note))
    for (const note of Object.keys(actions)) assert.ok(notes.has(note), note)
  })

  for (const chunking of CHUNKINGS) {
    it(`comes out of two engines byte for byte, b’s side fed ${chunking.name} [R-051]`, () => {
      const a = play(chunking)
      assert.deepEqual(a.seen, [
        'run 1: session with host',
        '2 accepted',
        '2 confirmed well',
        '1 failed ERR_PEER_RESTARTED',
        'run 1: ended: ERR_PEER_RESTARTED',
        'run 2: session with host',
        'run 2: ended: well',
      ])
    })
  }
})
