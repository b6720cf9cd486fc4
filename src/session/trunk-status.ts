/** What a session says of itself. */
import type { TransportTraits, TrunkStatus } from '../contracts/types.ts'
import type { MuxCounters } from '../core/mux/settings.ts'
import type { Engine } from '../core/session/engine.ts'
import { TrunkPipe } from './pipe/pipe.ts'
import type { Hello } from '../core/session/hello.ts'

/** How `engine`'s session is. */
export function statusOf(
  engine: Engine,
  parts: {
    readonly scheme: string
    readonly address: string
    readonly traits: TransportTraits
    readonly hello: Hello
  },
  peerAddress: string,
  now: number,
  ageMs: number,
): TrunkStatus {
  const { scheme, address, traits } = parts
  const peer = engine.peer
  return {
    state: stateOf(engine),
    address,
    peer: {
      name: peer?.name ?? '',
      address: peerAddress,
      epoch: peer === undefined ? '' : Buffer.from(peer.epoch).toString('hex'),
      protocols: peer?.protocols ?? [],
    },
    transport: { scheme, traits },
    version: peer === undefined ? 0 : Math.min(peer.versions[1], parts.hello.versions[1]),
    ageMs,
    roundTripMs: engine.roundTripMs,
    bytesRead: engine.bytesRead,
    bytesWritten: engine.bytesWritten,
    resume: engine.isResumable ? resumeStatus(engine) : undefined,
    pipes: pipeStatuses(engine, now),
    counters: { ...(engine.mux?.counters ?? NO_MUX_COUNTERS), ...engine.counters },
  }
}

function resumeStatus({ resumed, stream }: Engine): TrunkStatus['resume'] {
  const { retained, resentBytes } = stream.log
  return { resumed, retainedBytes: retained, resentBytes }
}

function pipeStatuses(engine: Engine, now: number): TrunkStatus['pipes'] {
  const statuses = []
  for (const state of engine.mux?.pipes.values() ?? []) {
    const pipe = state.listener
    if (!(pipe instanceof TrunkPipe)) continue
    statuses.push({
      id: state.id,
      protocol: pipe.protocol,
      direction: state.outbound ? ('outbound' as const) : ('inbound' as const),
      bytesRead: state.consumed,
      bytesWritten: state.sent,
      creditLeft: Math.max(0, state.creditLimit - state.sent),
      unread: state.readable,
      ageMs: now - state.openedAt,
      waitsFor: pipe.waitsFor,
    })
  }
  return statuses
}

function stateOf({ state, attached }: Engine): TrunkStatus['state'] {
  if (state === 'ended') return 'closed'
  if (state === 'closing') return 'closing'
  return attached ? 'open' : 'waiting'
}

/** Before the hello has ended there is nothing to tolerate. */
const NO_MUX_COUNTERS: MuxCounters = { lateFrames: 0, staleCredits: 0, refusedOpens: 0 }
