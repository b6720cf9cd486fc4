import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { unix } from '../../transports/unix.ts'
import { transportConformance } from '../conformance/transport.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
let files = 0
const freshPath = (): string => join(folder, `${files++}.sock`)

transportConformance('unix', (address) => unix(address ?? { path: freshPath() }))

describe('unix socket files', () => {
  it('let only their owner connect, and go with their listener', async () => {
    const path = freshPath()
    const listener = await unix({ path }).listen(options)
    assert.equal(lstatSync(path).mode & 0o7777, 0o600)
    await listener.close()
    assert.ok(!existsSync(path), 'the file is gone')
  })

  it('are replaced when nobody answers any more', async () => {
    const path = freshPath()
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'exit')
    assert.ok(lstatSync(path).isSocket(), 'a killed listener leaves its file')
    const listener = await unix({ path }).listen(options)
    const link = await unix({ path }).connect(options)
    link.abort(new Error('over'))
    await listener.close()
    assert.ok(!existsSync(path), 'the file is gone')
  })

  it('of a live listener, and files that are no socket, are left alone', async () => {
    const [live, plain, link] = [freshPath(), freshPath(), freshPath()]
    const server = createServer().listen(live)
    await once(server, 'listening')
    writeFileSync(plain, 'mine')
    symlinkSync(live, link)
    for (const path of [live, plain, link]) {
      await assert.rejects(unix({ path }).listen(options), { code: 'ERR_ADDRESS_IN_USE' })
      assert.ok(existsSync(path), path)
    }
    server.close()
    await once(server, 'close')
  })

  it('that someone else put in our place are not removed', async () => {
    const [path, other] = [freshPath(), freshPath()]
    const listener = await unix({ path }).listen(options)
    const successor = createServer().listen(other)
    await once(successor, 'listening')
    renameSync(other, path)
    await listener.close()
    assert.ok(existsSync(path), 'the successor’s file is there')
    successor.close()
    await once(successor, 'close')
  })

  it('fail with a code where they cannot be made or dialled [R-113]', async () => {
    const missing = unix({ path: join(folder, 'no-such-folder', 'x.sock') })
    await assert.rejects(missing.listen(options), { code: 'ERR_ADDRESS_UNAVAILABLE' })
    await assert.rejects(missing.connect(options), { code: 'ERR_CONNECT_REFUSED' })
    const plain = freshPath()
    writeFileSync(plain, 'mine')
    await assert.rejects(unix({ path: plain }).connect(options), { code: 'ERR_CONNECT_REFUSED' })
  })
})
