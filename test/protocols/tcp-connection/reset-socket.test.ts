import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { dialLoopback, loopbackServer, type LoopbackServer } from '../../helpers/loopback.ts'
import { countHandles, nothingLeft } from '../../helpers/process-handles.ts'

describe('resetSocket', () => {
  const open: LoopbackServer[] = []
  afterEach(() => {
    for (const server of open.splice(0)) server.close()
  })

  /** Both ends of a connection, and the codes of the errors that ours had. */
  async function ends(): Promise<{ near: Socket; errors: string[] }> {
    const server = await loopbackServer()
    open.push(server)
    const near = await dialLoopback(server.port)
    await eventually(() => server.sockets.length > 0, 'the far end is there')
    const errors: string[] = []
    near.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message))
    return { near, errors }
  }

  it('frees a socket whose end is under way: the process could not exit otherwise', async () => {
    const before = countHandles()
    const { near, errors } = await ends()
    near.end()
    resetSocket(near)
    resetSocket(near)
    await once(near, 'close')
    assert.deepEqual(errors, [])
    for (const server of open.splice(0)) server.close()
    await nothingLeft(before)
  })

  it('does not wait for a peer that takes nothing, where an end is queued behind bytes', async () => {
    const { near, errors } = await ends() // the far end is never read
    for (let i = 0; i < 256; i++) near.write(Buffer.alloc(65_536))
    near.end()
    await steady(() => near.writableLength)
    assert.ok(near.writableLength > 0, 'the kernel took everything')
    resetSocket(near)
    await once(near, 'close')
    assert.deepEqual(errors, [])
  })
})
