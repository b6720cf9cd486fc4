/**
 * A recorded session that is cut after each byte of each direction, by an end, a reset, or silence:
 * nothing ends well with bytes missing.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { faultProxy, proxyTarget, type Cut } from '../helpers/fault-proxy.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { RecordedPeer, type Run } from './recorded.ts'

noStrayRejections()

type Way = 'there' | 'back'

/** Steps of a whole run, the close included. */
const ALL_STEPS = 5
/** Runs at a time. */
const TOGETHER = 8
const TCP = 'tcp://127.0.0.1:0'
/** What a line that is cut without a word costs a run: keepalive finds it. */
const SILENT_LIMITS = { keepaliveMs: 200, keepaliveTimeoutMs: 300, helloTimeoutMs: 700, writeStallMs: 500 }
/**
 * A session of a recording has a few hundred bytes each way; fewer would mean that it does not do
 * what it says.
 */
const [MIN_BYTES, MAX_BYTES] = [500, 3_000]

/** Codes by which a cut may show itself to who connected. */
const CODES: Readonly<Record<Cut, RegExp>> = {
  end: /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/,
  reset: /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/,
  silence: /^ERR_(KEEPALIVE_TIMEOUT|HELLO_TIMEOUT|LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/,
}

/** The bytes of a session that nobody cuts. */
async function record(peer: RecordedPeer): Promise<Record<Way, number>> {
  const proxy = await faultProxy(proxyTarget(peer.address))
  assert.deepEqual(await peer.run(proxy.address, 'record'), { code: undefined, steps: ALL_STEPS })
  const carried = proxy.carried()
  proxy.close()
  for (const bytes of Object.values(carried)) assert.ok(bytes > MIN_BYTES && bytes < MAX_BYTES, String(bytes))
  return carried
}

interface Cutting {
  readonly way: Way
  readonly bytes: number
  readonly by: Cut
}

/** Every run of `cuttings`, several at a time; gives how they ended. */
async function cutAll(t: TestContext, peer: RecordedPeer, cuttings: readonly Cutting[], silent = false): Promise<void> {
  const names: string[] = ['record']
  const ends = new Map<string, number>()
  const queue = cuttings.values()
  let cut = 0
  const worker = async (): Promise<void> => {
    for (const { way, bytes, by } of queue) {
      const name = `${way}-${bytes}-${by}`
      names.push(name)
      const proxy = await faultProxy(proxyTarget(peer.address), { [way]: { limit: { bytes, by } } })
      try {
        const run = await peer.run(proxy.address, name, silent ? SILENT_LIMITS : {})
        if (proxy.cuts() > 0) cut++
        check(run, name, by, proxy.cuts() > 0)
        const key = `${by} ${run.steps} ${run.code ?? 'well'}`
        ends.set(key, (ends.get(key) ?? 0) + 1)
      } finally {
        proxy.close()
      }
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, worker))
  for (const [key, count] of [...ends].sort()) t.diagnostic(`${key}: ${count}`)
  t.diagnostic(`as the peer saw it: ${[...peer.codes].map(([code, count]) => `${code} ${count}`).join(', ')}`)
  assert.ok(cut > cuttings.length * 0.9, `${cut} of ${cuttings.length} were cut`)
  await peer.assertSound(names)
}

/**
 * A run that was not cut is whole; one that was may be so only where the cut came after the
 * goodbye.
 */
function check({ code, steps }: Run, name: string, by: Cut, wasCut: boolean): void {
  if (code === undefined) assert.equal(steps, ALL_STEPS, name)
  // a reset may come before the system has told that there was a connection
  else if (code === 'ERR_CONNECT_REFUSED') assert.match(name, /-0-reset$/)
  else assert.match(code, CODES[by], name)
  if (!wasCut) assert.equal(code, undefined, `${name} was not cut`)
}

const after = (way: Way, from: number, to: number, by: Cut | 'alternating', step = 1): Cutting[] => {
  const all: Cutting[] = []
  for (let bytes = from; bytes <= to; bytes += step) {
    all.push({ way, bytes, by: by === 'alternating' ? (bytes % 2 === 0 ? 'end' : 'reset') : by })
  }
  return all
}

describe('a session that is cut after N bytes', { timeout: 200_000 }, () => {
  for (const way of ['there', 'back'] as const) {
    for (const odd of ['end', 'reset'] as const) {
      it(`for each N of what goes ${way}, by ${odd} (tcp): nothing ends well with bytes missing [R-240]`, async (t) => {
        await expectNoLeaks(async () => {
          const peer = await RecordedPeer.start(t, TCP)
          const carried = await record(peer)
          await cutAll(t, peer, after(way, 0, carried[way], odd))
          await peer.close()
        })
      })
    }
  }

  it('the same over a unix socket, every seventh N of both ways [R-241]', async (t) => {
    const path = join(temporaryFolder(), 's')
    await expectNoLeaks(async () => {
      const peer = await RecordedPeer.start(t, `unix://${path}`)
      const { there, back } = await record(peer)
      await cutAll(t, peer, [
        ...after('there', 0, there, 'alternating', 7),
        ...after('back', 0, back, 'alternating', 7),
      ])
      await peer.close()
    })
  })

  it('by silence, every 23rd N of both ways: keepalive or the hello’s time finds it, on both sides [R-242]', async (t) => {
    await expectNoLeaks(async () => {
      const peer = await RecordedPeer.start(t, TCP, SILENT_LIMITS)
      const { there, back } = await record(peer)
      await cutAll(
        t,
        peer,
        [...after('there', 0, there, 'silence', 23), ...after('back', 0, back, 'silence', 23)],
        true,
      )
      await peer.close()
    })
  })
})
