/** The raw peer over real sockets: the goodbye must arrive although the peer is still sending. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { serve, systemClock, type Server } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { tcp } from '../../transports/tcp.ts'
import { eventually } from '../helpers/eventually.ts'
import { waitingProtocol } from '../helpers/held-pipes.ts'
import { encodeStatus, frame, TYPE } from '../helpers/naive-codec.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { HIGHEST_EPOCH, RawPeer } from '../helpers/raw-peer.ts'

async function dial(server: Server): Promise<RawPeer> {
  const signal = new AbortController().signal
  return new RawPeer(await tcp(server.address).connect({ signal, clock: systemClock, limits: DEFAULT_LIMITS }))
}

describe('frames by hand over TCP', { timeout: 60_000 }, () => {
  it('hears why its session ended while it is still sending, and leaves nothing [R-005]', async () => {
    const before = countHandles()
    const server = await serve('tcp://127.0.0.1:0', { protocols: [waitingProtocol()] })
    for (let i = 0; i < 5; i++) {
      const peer = await dial(server)
      await peer.hello({ epoch: HIGHEST_EPOCH })
      await peer.open(1, 'hold')
      await peer.expect('ACCEPT', 1)
      void peer.send(frame(TYPE.DATA, 3, new Uint8Array(1)), new Uint8Array(8_000_000))
      assert.equal(await peer.expectStatus('BYE'), 26)
      await peer.ended
      await eventually(() => server.trunks.size === 0, 'the trunk is gone')
    }
    await server.close()
    await nothingLeft(before)
  })

  it('leaves nothing when a peer goes in the middle of its hello, of a frame, or by a reset', async () => {
    const before = countHandles()
    const rejected: string[] = []
    const server = await serve('tcp://127.0.0.1:0', {
      protocols: [waitingProtocol()],
      onSessionError: ({ error }) => rejected.push((error as Error & { code: string }).code),
    })
    const silent = await dial(server)
    await silent.expect('HELLO')
    silent.end()
    await eventually(() => rejected.length === 1, 'the first is rejected')
    const reset = await dial(server)
    await reset.hello({ epoch: HIGHEST_EPOCH })
    await reset.open(1, 'hold')
    await reset.expect('ACCEPT', 1)
    await reset.send(Uint8Array.of(TYPE.DATA, 0, 0, 9))
    reset.cut()
    await eventually(() => server.trunks.size === 0, 'the trunk is gone')
    const well = await dial(server)
    await well.hello({ epoch: HIGHEST_EPOCH })
    await well.send(frame(TYPE.BYE, 0, encodeStatus({ number: 16, name: '', sentence: '' })))
    await well.ended
    await eventually(() => server.trunks.size === 0, 'the trunk is gone')
    assert.deepEqual(rejected, ['ERR_LINK_LOST'])
    await server.close()
    await nothingLeft(before)
  })
})
