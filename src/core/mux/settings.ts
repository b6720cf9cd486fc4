/**
 * What the parts of the muxer share: what is in force, whom they call, and how they say that a
 * frame is illegal.
 */
import { TrunkError } from '../../contracts/errors.ts'
import type { TrunkCounters } from '../../contracts/types.ts'
import type { PipeState } from './pipe-state.ts'
import type { SharedWindows } from './window.ts'

/** What is in force between the two peers: the outcome of the hello. */
export interface MuxSettings {
  /** True for the peer with the larger epoch: its pipes have odd ids. */
  readonly takesOddIds: boolean
  /**
   * The first id that is given, of the right parity: so that a test can stand near the last one.
   * @default 1 or 2
   */
  readonly firstId?: number
  readonly initialWindowBytes: number
  readonly maxWindowBytes: number
  readonly windowPoolBytes: number
  readonly maxInFlightBytes: number
  /**
   * The line's speed is not known, and what lies below us on it nobody else bounds: find out how
   * much may be under way (pace.ts).
   */
  readonly paced: boolean
  /**
   * All frames are one numbered stream, whose owner tells the peer what was parsed. @default data
   * frames are counted, and the muxer tells
   */
  readonly streamed?: boolean
  /** Largest payload of a data frame that is sent, and that is accepted. */
  readonly splitBytes: number
  readonly maxFrameBytes: number
  readonly maxOpenBytes: number
  readonly maxInbound: number
  readonly maxInboundWaiting: number
  readonly maxOutbound: number
  readonly maxOutboundWaiting: number
  readonly maxRefusals: number
  readonly resetBurst: number
  readonly resetsPerSecond: number
  readonly peerResetBurst: number
  readonly peerResetsPerSecond: number
  readonly orphanTimeoutMs: number
}

/** What the core calls, besides the pipes' listeners. */
export interface MuxHost {
  /** There may be something to pull. */
  wake(): void
  /**
   * The peer opened a pipe; `head` is valid during the call only. The host sets `pipe.listener`,
   * then accepts or refuses, now or later.
   */
  incoming(pipe: PipeState, head: Uint8Array): void
  /**
   * Nobody looks at this view of a chunk of the link any more. @default such chunks are simply let
   * go of
   */
  release?(view: Uint8Array): void
  /**
   * What the windows of all sessions share. @default each session has its own pool, and that is all
   */
  readonly windows?: SharedWindows | undefined
  /**
   * What the initial windows of the peers' pipes have together, over all sessions. @default each
   * session may have `maxInbound` of them
   */
  readonly initialWindows?: SharedWindows | undefined
  /** The number of pipes fell. */
  pipeGone(): void
  /** Smoothed round trip, where one was measured. */
  roundTripMs(): number | undefined
  /**
   * The shortest one that was measured: what an empty line needs. A paced line carries no data
   * before it is known, which the host wakes for.
   */
  minRoundTripMs(): number | undefined
  /**
   * Data wait for the peer to say what it has parsed: asks it for a sign, whose answer goes to
   * `peerAnswered`. @default nobody is asked
   */
  askParsed?(): unknown
}

/** Counts of what was tolerated. */
export type MuxCounters = { -readonly [Name in 'lateFrames' | 'staleCredits' | 'refusedOpens']: TrunkCounters[Name] }

/** Counts of what was tolerated besides the pipes. */
export type SessionCounters = { -readonly [Name in 'strayPongs' | 'skippedFrames']: TrunkCounters[Name] }

/** A frame that the rules do not allow: it ends the session. */
export function violation(sentence: string): TrunkError {
  return new TrunkError('ERR_PROTOCOL_VIOLATION', sentence)
}
