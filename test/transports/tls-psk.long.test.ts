import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { tlsPsk } from '../../docs/examples/tls-psk-transport.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { transportConformance } from '../conformance/transport.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'

const key = randomBytes(32)
const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }

/**
 * The example as the package's users get it: it imports trunkline by its name, which is what
 * `npm run build` made.
 */
const made = (address = 'tls-psk://127.0.0.1:0', secret: Uint8Array = key) =>
  tlsPsk({ port: Number(new URL(address).port), identity: 'vm-7', key: secret })

transportConformance('docs/examples/tls-psk-transport.ts', (address) => made(address))

describe('the TLS example', () => {
  it('refuses a peer with another secret', async () => {
    const before = countHandles()
    const listener = await made().listen(options)
    await assert.rejects(made(listener.address, randomBytes(32)).connect(options), { code: 'ERR_AUTH_FAILED' })
    await listener.close()
    await nothingLeft(before)
  })

  it('gives up a peer that does not answer', async () => {
    const before = countHandles()
    const silent = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    silent.on('connection', (socket) => {
      socket.on('error', () => undefined)
      socket.once('close', () => silent.close())
      socket.resume()
    })
    const { port } = silent.address() as AddressInfo
    const limits = { ...DEFAULT_LIMITS, connectTimeoutMs: 50 }
    const dialling = made(`tls-psk://127.0.0.1:${port}`).connect({ ...options, limits })
    await assert.rejects(dialling, { code: 'ERR_CONNECT_TIMEOUT' })
    await nothingLeft(before)
  })
})
