/** `serve`, beyond what each day brings: devices, folders that are none, links, second signals. */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { dialLoopback, loopbackServer } from '../helpers/loopback.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

function portOf(address: string): number {
  return Number(address.split(':').at(-1))
}

describe('serve', () => {
  it('says once that the device is held by somebody else, waits, and serves when it is free [R-550]', async () => {
    const pty = await ptyPair()
    const first = await serving([], `serial://${pty.near}`)
    const second = await serving([], `serial://${pty.near}`)
    await eventually(() => second.said().length > 0, 'the reason')
    assert.match(second.said().join('\n'), /^trunkline: ERR_BUSY: session with serial:[^\n]+$/)
    await first.stop()
    const { status, stderr } = await trunkline(['ping', '-c', '1', '--to', `serial://${pty.far}`])
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
    assert.equal(second.said().length, 1)
    await second.stop()
    await pty.close()
  })

  it('exits 1 when the directory is missing or none', async () => {
    const file = join(temporaryFolder(), 'file')
    writeFileSync(file, '')
    const missing = await trunkline(['serve', 'tcp://127.0.0.1:0', '--fs', `${file}-missing`])
    assert.match(missing.stderr, /^trunkline: ERR_NOT_FOUND: [^\n]+\n$/)
    assert.equal(missing.status, 1)
    const none = await trunkline(['serve', 'tcp://127.0.0.1:0', '--fs', file])
    assert.match(none.stderr, /^trunkline: ERR_NOT_DIRECTORY: [^\n]+\n$/)
    assert.equal(none.status, 1)
  })
})

describe('policy', () => {
  it('follows no symbolic link out of the directory', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'root'))
    writeFileSync(join(folder, 'secret'), 'secret')
    symlinkSync('../secret', join(folder, 'root/link'))
    const server = await serving(['--fs', join(folder, 'root')])
    const { status, stdout, stderr } = await trunkline(['cat', ':link'], { to: server.address })
    const above = await trunkline(['cat', ':../secret'], { to: server.address })
    await server.stop()
    assert.equal(stdout, '')
    assert.match(stderr, /^trunkline: ERR_SYMLINK: :link: [^\n]+\n$/)
    assert.equal(status, 4)
    assert.equal(above.stdout, '')
    assert.match(above.stderr, /^trunkline: ERR_PATH_INVALID: [^\n]+\n$/)
    assert.equal(above.status, 1)
  })
})

describe('signals', () => {
  it('a peer’s command sees the session’s end, exit 3 [R-129]', async () => {
    const server = await serving([])
    const ping = start(['ping', '-c', '1000', '-i', '0.05'], { to: server.address })
    await ping.lines(1)
    await server.stop()
    const { status, stderr } = await ping.ended
    assert.match(stderr, /^trunkline: ERR_[A-Z_]+: [^\n]+\n$/)
    assert.equal(status, 3)
  })

  it('a second signal ends it at once [R-129]', async () => {
    const target = await loopbackServer()
    const server = await serving(['--connect', `127.0.0.1:${target.port}`])
    const forward = start(['forward', '-L', `0:127.0.0.1:${target.port}`], { to: server.address })
    const [line = ''] = await forward.lines(1)
    const client = await dialLoopback(portOf(line.split(' ')[1] ?? ''))
    await eventually(() => target.sockets.length === 1, 'the forwarded connection')
    // The connection is established, so the graceful end would take its five seconds.
    const begin = performance.now()
    server.running.child.kill('SIGTERM')
    await eventually(() => performance.now() - begin > 300, 'some time', 1_000)
    assert.equal(server.running.child.exitCode, null)
    server.running.child.kill('SIGTERM')
    const { status, signal } = await server.running.ended
    assert.ok(performance.now() - begin < 3_000)
    assert.deepEqual([status, signal], [null, 'SIGTERM'])
    client.destroy()
    forward.child.kill('SIGTERM')
    await forward.ended
    target.close()
  })
})
