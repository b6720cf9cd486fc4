/** A reconnecting trunk with time turned by hand. */
import { connect, type ConnectionStatus, type ReconnectingTrunk, type TrunkOptions } from '../../src/index.ts'
import { eventually } from './eventually.ts'
import { manualClock, type ManualClock } from './manual-clock.ts'
import { echo } from './protocols.ts'
import { scriptedPeer, type ScriptedPeer } from './scripted-peer.ts'

/** Longer than any wait. */
export const LONG_MS = 6_000

/** A reconnecting trunk, the peer that a test plays, and the clock that it turns. */
export interface Lasting {
  readonly trunk: ReconnectingTrunk
  readonly peer: ScriptedPeer
  readonly clock: ManualClock
}

/** A trunk that has its first session. */
export async function lasting(
  options: TrunkOptions = {},
  peerOptions: TrunkOptions = { protocols: [echo] },
): Promise<Lasting> {
  const clock = manualClock()
  const peer = scriptedPeer(peerOptions)
  return { peer, clock, trunk: await connect(peer.transport, { ...options, clock, reconnect: true }) }
}

/** Resolves when the connection is in `state`. */
export const reaches = (trunk: ReconnectingTrunk, state: ConnectionStatus['state']): Promise<void> =>
  eventually(() => trunk.connection.state === state, state)

/** Cuts the line and waits until that is noticed. */
export async function lose({ trunk, peer }: Lasting): Promise<void> {
  await eventually(() => peer.trunks.length === trunk.connection.sessions, 'the session at the other end')
  peer.cut()
  await reaches(trunk, 'waiting')
}

/** Lets the wait pass and the next session come. */
export async function regain({ trunk, clock }: Lasting): Promise<void> {
  clock.advance(LONG_MS)
  await reaches(trunk, 'open')
}
