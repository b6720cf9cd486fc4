/** Two trunks of ours at the ends of one line: who is who, and who has the token. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overLink, type Trunk, type LinkOptions } from '../../../src/index.ts'
import { memoryPair } from '../../../transports/memory.ts'
import { waitingProtocol } from '../../helpers/held-pipes.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { isCode } from '../../helpers/raw-session.ts'

/** Both ends, settled; no time passes. */
async function meet(
  a: LinkOptions,
  b: LinkOptions,
): Promise<[PromiseSettledResult<Trunk>, PromiseSettledResult<Trunk>]> {
  const clock = manualClock()
  const [near, far] = memoryPair({ clock })
  return await Promise.allSettled([overLink(near, { clock, ...a }), overLink(far, { clock, ...b })])
}

async function both(a: LinkOptions, b: LinkOptions): Promise<[Trunk, Trunk]> {
  const [near, far] = await meet(a, b)
  if (near.status === 'rejected') throw near.reason
  if (far.status === 'rejected') throw far.reason
  return [near.value, far.value]
}

/**
 * Neither end has a session; one of them found `code` out and the other was told, or both found it
 * out.
 */
function assertRefused(ends: readonly PromiseSettledResult<Trunk>[], code: string): void {
  for (const end of ends) {
    assert.equal(end.status, 'rejected')
    isCode(code)(end.reason)
  }
}

const token = 'a token of more than sixteen bytes'

describe('two trunks that meet', { timeout: 60_000 }, () => {
  it('agree without roles, and both can open [R-059]', async () => {
    for (let i = 0; i < 20; i++) {
      const options = { protocols: [waitingProtocol()] }
      const [a, b] = await both(options, options)
      const [fromA, fromB] = await Promise.all([a.open('hold'), b.open('hold')])
      assert.deepEqual([fromA.id, fromB.id].sort(), [1, 2])
      a.abort(new Error('over'))
      await assert.rejects(b.closed, isCode('ERR_SESSION_ABORTED', 'remote'))
    }
  })

  it('agree with the same token', async () => {
    const [a, b] = await both({ token, role: 'connect' }, { token: Buffer.from(token), role: 'serve' })
    await Promise.all([a.close(), b.closed])
  })

  it('both refuse when both connect, or both serve, with a token [R-059]', async () => {
    for (const role of ['connect', 'serve'] as const) {
      assertRefused(await meet({ token, role }, { token, role }), 'ERR_HELLO_INVALID')
    }
  })

  it('both refuse when their tokens differ, or one has none', async () => {
    const other = 'another token of sixteen bytes and more'
    assertRefused(await meet({ token, role: 'connect' }, { token: other, role: 'serve' }), 'ERR_AUTH_FAILED')
    assertRefused(await meet({ token, role: 'connect' }, { role: 'serve' }), 'ERR_AUTH_REQUIRED')
    assertRefused(await meet({}, { token, role: 'serve' }), 'ERR_AUTH_REQUIRED')
  })
})
