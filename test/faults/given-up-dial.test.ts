/**
 * A connection that is dialled for a peer which gives it up: its other end never sees a clean end.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { dial } from '../../protocols/tcp-connection/dial.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { loopbackServer } from '../helpers/loopback.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { KINDS } from '../helpers/tcp-kinds.ts'
import { outcome } from '../helpers/protocols.ts'

/** How a connection ended for who accepted it. */
async function endOf(socket: Socket): Promise<string> {
  socket.resume()
  return await Promise.race([
    once(socket, 'end').then(
      () => 'a clean end',
      (error: unknown) => (error as NodeJS.ErrnoException).code ?? '',
    ),
  ])
}

for (const { kind, attempts, skip } of KINDS)
  describe(`a dial that is given up, ${kind}`, { skip }, () => {
    it('when the kernel has connected it and nobody was told yet, is reset [R-243]', async () => {
      await expectNoLeaks(async () => {
        for (let round = 0; round < 20; round++) {
          let ended = (_how: Promise<string>): void => undefined
          const end = new Promise<string>((resolve) => (ended = resolve as typeof ended))
          const server = await loopbackServer((socket) => {
            ended(endOf(socket))
          })
          const giveUp = new AbortController()
          const options = { target: 'the target', signal: giveUp.signal, clock: systemClock, attempts }
          const dialled = dial([server.host], server.port, options)
          // Node dials in the tick after; the loopback has the connection standing when that
          // returns
          process.nextTick(() => {
            process.nextTick(() => {
              giveUp.abort(new TrunkError('ERR_LINK_LOST', 'the peer is gone'))
            })
          })
          assert.equal(await outcome(dialled), 'ERR_LINK_LOST')
          assert.equal(await end, 'ECONNRESET')
          server.close()
        }
      })
    })
  })
