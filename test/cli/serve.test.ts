/** `serve`: what it prints, whom it admits, and how it ends. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { BINARY, serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { dialLoopback, isFree, loopbackServer } from '../helpers/loopback.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

function portOf(address: string): number {
  return Number(address.split(':').at(-1))
}

describe('serve', () => {
  it('prints its real address as the first line', async () => {
    const server = await serving([])
    assert.match(server.address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/)
    const { status } = await trunkline(['ping', '-c', '1', '--to', server.address])
    assert.equal(status, 0)
    await server.stop()
  })

  it('serves a unix socket and removes it at the end', async () => {
    const path = join(temporaryFolder(), 's')
    const server = await serving([], `unix://${path}`)
    assert.equal(server.address, `unix://${path}`)
    assert.equal((await trunkline(['ping', '-c', '1', '--to', server.address])).status, 0)
    assert.equal((await server.stop()).status, 0)
    assert.equal((await trunkline(['ping', '-c', '1', '--to', server.address])).status, 3)
  })

  it('prints nothing but the link’s bytes on stdio:', async () => {
    const root = temporaryFolder()
    writeFileSync(join(root, 'file'), 'over stdin and stdout')
    const to = `exec:${process.execPath} ${BINARY} serve stdio: --fs ${root}`
    const { status, stdout, stderr } = await trunkline(['cat', ':file'], { to })
    assert.equal(stderr, '')
    assert.equal(stdout, 'over stdin and stdout')
    assert.equal(status, 0)
  })

  it('says one line per refused open', async () => {
    const root = temporaryFolder()
    const server = await serving(['--fs', `${root}:ro`])
    const { status } = await trunkline(['mkdir', ':new'], { to: server.address })
    assert.equal(status, 4)
    await eventually(() => server.said().length > 0, 'the line about the refusal')
    assert.match(
      server.said().join('\n'),
      /^trunkline: ERR_READ_ONLY: refused filesystem for 127\.0\.0\.1:\d+: [^\n]+$/,
    )
    await server.stop()
  })

  it('exits 1 when the port is in use', async () => {
    const taken = await loopbackServer()
    const { status, stdout, stderr } = await trunkline(['serve', `tcp://127.0.0.1:${taken.port}`])
    taken.close()
    assert.equal(stdout, '')
    assert.match(stderr, /^trunkline: ERR_ADDRESS_IN_USE: [^\n]+\n$/)
    assert.equal(status, 1)
  })
})

describe('policy', () => {
  it('offers nothing unless it is told to', async () => {
    const server = await serving([])
    const { status, stderr } = await trunkline(['ls'], { to: server.address })
    await server.stop()
    assert.match(stderr, /^trunkline: ERR_PROTOCOL_UNKNOWN: [^\n]+\n$/)
    assert.equal(status, 4)
  })

  it('admits only who has the token', async () => {
    const folder = temporaryFolder()
    const [right, wrong] = [join(folder, 'right'), join(folder, 'wrong')]
    writeFileSync(right, 'a secret of some length\n')
    writeFileSync(wrong, 'another secret of some length\n')
    const server = await serving(['--token-file', right])
    const ping = ['ping', '-c', '1', '--to', server.address]
    const admitted = await trunkline([...ping, '--token-file', right])
    const byEnvironment = await trunkline(ping, { env: { TRUNKLINE_TOKEN_FILE: right } })
    const without = await trunkline(ping)
    const other = await trunkline([...ping, '--token-file', wrong])
    await eventually(() => server.said().length === 2, 'two lines about the rejected')
    await server.stop()
    assert.equal(admitted.status, 0)
    assert.equal(byEnvironment.status, 0)
    assert.match(without.stderr, /^trunkline: ERR_AUTH_REQUIRED: [^\n]+\n$/)
    assert.equal(without.status, 4)
    assert.match(other.stderr, /^trunkline: ERR_AUTH_FAILED: [^\n]+\n$/)
    assert.equal(other.status, 4)
  })
})

describe('the token of serve', () => {
  it('is never none because a variable of a script is empty', async () => {
    const everywhere = ['serve', 'tcp://0.0.0.0:0', '--exec', 'any']
    const { status, stderr } = await trunkline([...everywhere, '--token-file', ''])
    assert.match(stderr, /--token-file names no file/)
    assert.equal(status, 2)
    const peer = await trunkline(['ping', '--to', 'tcp://127.0.0.1:1', '--token-file', ''])
    assert.match(peer.stderr, /--token-file names no file/)
  })

  it('may be that of the environment where commands are offered to others', async () => {
    const token = join(temporaryFolder(), 'token')
    writeFileSync(token, 'a secret of some length\n')
    const env = { TRUNKLINE_TOKEN_FILE: token }
    const server = start(['serve', 'tcp://0.0.0.0:0', '--exec', 'any'], { env })
    await eventually(() => /^tcp:/.test(server.stdout()), 'it serves')
    server.child.kill('SIGTERM')
    assert.equal((await server.ended).status, 0)
  })
})

describe('signals', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} closes gracefully: exit 0, the port is free [R-129]`, async () => {
      const server = await serving([])
      const bystander = await dialLoopback(portOf(server.address))
      server.running.child.kill(signal)
      const { status, stderr } = await server.running.ended
      assert.equal(status, 0)
      assert.doesNotMatch(stderr, /at /)
      bystander.destroy()
      assert.ok(await isFree(portOf(server.address)))
    })
  }
})
