/**
 * A trunk of ours with a raw peer at the other end of a memory line, under a clock that is turned
 * by hand.
 */
import assert from 'node:assert/strict'
import { overLink, TrunkError, type Trunk, type LinkOptions } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { manualClock, type ManualClock } from './manual-clock.ts'
import { RawPeer, type HelloFields } from './raw-peer.ts'

/** Both ends. */
export interface RawSession {
  readonly trunk: Trunk
  readonly peer: RawPeer
  readonly clock: ManualClock
}

/**
 * The ends before any hello: `trunk` settles when the session is established, or does not come to
 * be.
 */
export function rawLine(
  options: LinkOptions = {},
  bufferBytes = 65_536,
): { trunk: Promise<Trunk>; peer: RawPeer; clock: ManualClock } {
  const clock = manualClock()
  const [near, far] = memoryPair({ clock, bufferBytes })
  const trunk = overLink(near, { clock, ...options })
  trunk.catch(() => undefined) // the test looks at it in its own time
  return { trunk, peer: new RawPeer(far), clock }
}

/** An established session. */
export async function rawSession(
  options: LinkOptions = {},
  hello: HelloFields = {},
  bufferBytes = 65_536,
): Promise<RawSession> {
  const line = rawLine(options, bufferBytes)
  await line.peer.hello(hello)
  return { ...line, trunk: await line.trunk }
}

/** True for a TrunkError with this code (and origin). */
export function isCode(code: string, origin?: 'local' | 'remote'): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TrunkError, `not a TrunkError: ${String(error)}`)
    assert.equal(error.code, code, error.message)
    if (origin !== undefined) assert.equal(error.origin, origin)
    return true
  }
}

/** The session ends, both sides learn `code`, and nothing is left of it. */
export async function endsWith(session: RawSession, code: string, number: number): Promise<void> {
  assert.equal(await session.peer.expectStatus('BYE'), number)
  await session.peer.ended
  await assert.rejects(session.trunk.closed, isCode(code, 'local'))
  assert.equal(session.trunk.status().state, 'closed')
  assert.deepEqual(session.trunk.status().pipes, [])
  assert.equal(session.clock.pending, 0, 'a timer is left')
}

/** The session still answers. */
export async function livesOn(session: RawSession): Promise<void> {
  await session.peer.sync()
  assert.equal(session.trunk.status().state, 'open')
}

/** Ends a session that a test is through with; nothing of it is left. */
export async function over(session: RawSession): Promise<void> {
  session.trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the test is over'))
  await session.peer.ended
  await assert.rejects(session.trunk.closed, isCode('ERR_SESSION_ABORTED', 'local'))
  assert.equal(session.clock.pending, 0, 'a timer is left')
}
