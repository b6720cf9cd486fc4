/** The points of the transport suite about addresses, listening and dialling. See transport.ts. */
import assert from 'node:assert/strict'
import type { Link } from '../../src/contracts/types.ts'
import { eventually } from '../helpers/eventually.ts'
import { readAll } from '../helpers/link-traffic.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import type { Suite } from './transport-suite.ts'
import { coded, firstOf, of, point, transportOptions } from './transport-suite.ts'

/** Points of transports that can listen. */
export function listenPoints(suite: Suite): void {
  point(suite, 'listen', 'has a real address, gives each link once, and ends when it is closed', async () => {
    const before = countHandles()
    const given = transportOptions()
    const listener = await suite.factory().listen(given)
    assert.doesNotMatch(listener.address, /:0$/)
    const taken: Link[] = []
    const accepting = (async () => {
      for await (const link of listener) taken.push(link)
    })()
    const dialled = await Promise.all([1, 2, 3].map(() => suite.factory(listener.address).connect(given)))
    await eventually(() => taken.length === 3, 'three links')
    await Promise.all([listener.close(), listener.close(), accepting])
    // Accepted links are left alone.
    const all = [...dialled, ...taken]
    const finished = all.map(async (link) => Promise.all([link.sink(of(Buffer.from('still here'))), readAll(link)]))
    for (const [, read] of await Promise.all(finished)) assert.equal(read.toString(), 'still here')
    await Promise.all(all.map((link) => link.close()))
    await nothingLeft(before)
  })

  point(suite, 'listen', 'frees its address on close, and destroys what was not taken', async () => {
    const before = countHandles()
    const given = transportOptions()
    const listener = await suite.factory().listen(given)
    const untaken = await suite.factory(listener.address).connect(given)
    await listener.close()
    await assert.rejects(suite.factory(listener.address).connect(given), coded)
    const again = await suite.factory(listener.address).listen(given)
    assert.equal(again.address, listener.address)
    await again.close()
    await untaken.close()
    await nothingLeft(before)
  })

  point(
    suite,
    'listen',
    'refuses an address that is in use, with a code, and leaves its holder alone [R-113]',
    async () => {
      const given = transportOptions()
      const listener = await suite.factory().listen(given)
      await assert.rejects(suite.factory(listener.address).listen(given), { code: 'ERR_ADDRESS_IN_USE' })
      const [near, far] = await Promise.all([suite.factory(listener.address).connect(given), firstOf(listener)])
      near.abort(new Error('over'))
      far.abort(new Error('over'))
      await Promise.all([near.close(), far.close(), listener.close()])
    },
  )
}

/** Points of dialling, and of what dialled links leave behind. */
export function dialPoints(suite: Suite): void {
  point(suite, 'listen', 'fails with a code when nobody listens [R-108]', async () => {
    const before = countHandles()
    const given = transportOptions()
    const listener = await suite.factory().listen(given)
    await listener.close()
    await assert.rejects(suite.factory(listener.address).connect(given), coded)
    await nothingLeft(before)
  })

  point(suite, 'dial', 'gives up a dial with the reason of its signal [R-047]', async () => {
    const before = countHandles()
    const reason = new Error('changed my mind')
    await assert.rejects(
      suite.factory().connect(transportOptions(AbortSignal.abort(reason))),
      (error) => error === reason,
    )
    if (suite.options.skip?.listen === undefined) {
      const listener = await suite.factory().listen(transportOptions())
      const controller = new AbortController()
      const dialling = suite.factory(listener.address).connect(transportOptions(controller.signal))
      controller.abort(reason)
      // A line that needs no time to dial may have won.
      const outcome = await dialling.catch((error: unknown) => error)
      if (outcome !== reason) (outcome as Link).abort(reason)
      await listener.close()
    }
    await nothingLeft(before)
  })

  point(suite, undefined, 'leaves nothing after pairs that ended in every way [R-062]', async () => {
    const rounds = suite.options.pair === undefined ? 20 : 4
    for (let round = 0; round < rounds; round++) {
      await suite.withPair(async (near, far) => {
        const halfCloses = suite.options.skip?.['half-close'] === undefined
        if (round % 4 === 0) await Promise.all([near.close(), far.close()])
        else if (round % 4 === 1) near.abort(new Error('over'))
        else if (round % 4 === 2 && halfCloses)
          await Promise.all([near.sink(of(new Uint8Array(100))), readAll(far), far.sink(of()), readAll(near)])
        else far.abort(new Error('over'))
      })
    }
  })
}
