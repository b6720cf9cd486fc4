/** Sockets that Node's server has accepted: what they are read into. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { tcp } from '../../transports/tcp.ts'
import { unix } from '../../transports/unix.ts'
import { firstOf, transportOptions } from '../conformance/transport-suite.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
const TOTAL = 16 * 1024 * 1024

async function* bulk(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < TOTAL; sent += 1024 * 1024) yield new Uint8Array(1024 * 1024)
}

describe('a link that a server of Node’s has accepted', () => {
  for (const [name, listening] of [
    ['unix', () => unix({ path: join(folder, 'accepted.sock') })],
    // a name is resolved by Node, which then listens
    ['tcp', () => tcp({ host: 'localhost', port: 0 })],
  ] as const) {
    it(`is read into read buffers, not into fresh memory for each read, over ${name} [R-463]`, async () => {
      const before = countHandles()
      const listener = await listening().listen(transportOptions())
      const dialled = (name === 'unix' ? unix : tcp)(listener.address).connect(transportOptions())
      const [link, near] = await Promise.all([firstOf(listener), dialled])
      const sending = near.sink(bulk())
      let most = 0
      let length = 0
      for await (const chunk of link.source) {
        most = Math.max(most, chunk.byteLength)
        length += chunk.byteLength
      }
      await sending
      assert.equal(length, TOTAL)
      assert.ok(most > 64 * 1024, `at most ${most} bytes in one read: Node’s own memory`)
      link.abort(new Error('over'))
      near.abort(new Error('over'))
      await Promise.all([link.close(), near.close(), listener.close()])
      await nothingLeft(before)
    })
  }
})
