/**
 * The points of the transport suite that need a session: what links alone never show, since nobody
 * answers there before a batch has left.
 */
import assert from 'node:assert/strict'
import { defineProtocol, overLink, type Link, type Trunk } from '../../src/index.ts'
import { point, type Suite } from './transport-suite.ts'

/**
 * Uploads at once, and bytes of each: together more than a kernel's queue, so that batches leave in
 * parts.
 */
const UPLOADS = 48
const UPLOAD_BYTES = 100_000
/**
 * On a line that is paced, which finds out how much it may have under way: it is to end on a busy
 * machine, too.
 */
const BARE_UPLOAD_BYTES = 25_000

/**
 * Takes uploads as a server of files does: it says nothing but that it is over, which may arrive
 * before the line says that the last bytes have left.
 */
const upload = defineProtocol<undefined>({
  name: 'upload',
  parse: () => undefined,
  handle: async ({ accept }) => {
    const pipe = accept()
    const ended = pipe.closeWrite()
    let bytes = 0
    for await (const chunk of pipe.source) bytes += chunk.byteLength
    assert.ok(bytes === UPLOAD_BYTES || bytes === BARE_UPLOAD_BYTES, `${bytes} bytes came`)
    await ended
  },
})

/** Declares them. */
export function sessionPoints(suite: Suite): void {
  point(
    suite,
    undefined,
    `R-364: carries ${UPLOADS} uploads at once, there and back, and every wait for them ends`,
    () =>
      suite.withPair(async (near, far) => {
        const [a, b] = await Promise.all([near, far].map((link) => trunkOver(suite, link)))
        assert.ok(a !== undefined && b !== undefined)
        const { lossless, connected } = suite.factory().traits
        const bytes = new Uint8Array(lossless && connected ? UPLOAD_BYTES : BARE_UPLOAD_BYTES)
        await uploads(a, bytes)
        await uploads(b, bytes)
        await Promise.all([a.close(), b.close()])
        await Promise.all([a.closed, b.closed])
      }),
  )
}

function trunkOver(suite: Suite, link: Link): Promise<Trunk> {
  return overLink(link, { protocols: [upload], traits: suite.factory().traits })
}

async function uploads(trunk: Trunk, bytes: Uint8Array): Promise<void> {
  // all of them first, so that one batch has the ends of several
  const pipes = await Promise.all(Array.from({ length: UPLOADS }, () => trunk.open('upload')))
  await Promise.all(
    pipes.map(async (pipe, index) => {
      // each way of writing is a wait of its own
      if (index % 3 === 0) {
        await pipe.write(bytes)
        await pipe.closeWrite()
      } else await pipe.sink(index % 3 === 1 ? [bytes] : [bytes.subarray(0, 12_000), bytes.subarray(12_000)])
      await pipe.close()
    }),
  )
}
