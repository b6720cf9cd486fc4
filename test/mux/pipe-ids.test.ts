import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_PIPE_ID } from '../../src/frame/constants.ts'
import { MuxCore } from '../../src/mux/core.ts'
import type { MuxSettings } from '../../src/mux/settings.ts'
import { FrameBatch } from '../../src/frame/batch.ts'
import type { PipeListener } from '../../src/mux/pipe-state.ts'

const SETTINGS: MuxSettings = {
  takesOddIds: true,
  initialWindowBytes: 65_536,
  maxWindowBytes: 65_536,
  windowPoolBytes: 0,
  maxInFlightBytes: 65_536,
  paced: false,
  splitBytes: 65_536,
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

const QUIET: PipeListener = {
  accepted: () => undefined,
  readable: () => undefined,
  written: () => undefined,
  stopped: () => undefined,
  confirmed: () => undefined,
  failed: () => undefined,
}

function core(settings: Partial<MuxSettings> = {}): MuxCore {
  const host = {
    wake: () => undefined,
    incoming: () => undefined,
    pipeGone: () => undefined,
    roundTripMs: () => undefined,
    leastRoundTripMs: () => 0,
  }
  return new MuxCore({ ...SETTINGS, ...settings }, host, 0)
}

describe('pipe ids', () => {
  for (const [takesOddIds, last] of [
    [true, MAX_PIPE_ID % 2 === 1 ? MAX_PIPE_ID : MAX_PIPE_ID - 1],
    [false, MAX_PIPE_ID % 2 === 0 ? MAX_PIPE_ID : MAX_PIPE_ID - 1],
  ] as const) {
    it(`end with a code of their own, ${takesOddIds ? 'odd' : 'even'} ones, and live pipes go on [R-045]`, () => {
      const mux = core({ takesOddIds, firstId: last - 2 })
      const live = mux.open(new Uint8Array(10), QUIET, 0)
      assert.equal(mux.open(new Uint8Array(10), QUIET, 0).id, last)
      assert.throws(() => mux.open(new Uint8Array(10), QUIET, 0), { code: 'ERR_PIPE_IDS_EXHAUSTED' })
      assert.equal(mux.pipes.size, 2)
      mux.write(live, Uint8Array.of(1))
      const batch = new FrameBatch()
      batch.reset()
      mux.pull(batch, 1000, 0)
      assert.equal(live.sent, 1)
    })
  }
})
