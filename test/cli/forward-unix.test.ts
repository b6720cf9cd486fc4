/** `forward` with unix sockets on either side, through two real processes. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { InvalidArgumentError } from 'commander'
import { parseForward } from '../../src/cli/forward/spec.ts'
import { serving, start, trunkline, type Serving } from '../helpers/command-line.ts'
import { heard, socketServer } from '../helpers/connection-kinds.ts'
import { eventually } from '../helpers/eventually.ts'
import { endWithTests } from '../helpers/left-children.ts'
import { dialLoopback, loopbackServer } from '../helpers/loopback.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const top = temporaryFolder()
const at = (name: string): string => join(top, name)
let server: Serving

before(async () => {
  const rules = ['--connect', `unix:${top}/`, '--connect', '127.0.0.1:*', '--listen', `unix:${top}/`]
  server = await serving([...rules, '--listen', '127.0.0.1:*'])
})
after(async () => {
  await server.stop()
})

async function dial(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

const answering = (socket: Socket): void => {
  void heard(socket).then((request) => socket.end(`answer to ${request}`))
}

describe('forward with unix sockets', () => {
  it('takes paths on either side, in both directions [R-662]', async () => {
    const target = await socketServer(at('target:1'), answering)
    const port = await loopbackServer(answering)
    const to = at('target:1').replaceAll(':', '\\:')
    const specs = [
      ['-L', `0:${to}`],
      ['-L', `127.0.0.1:0:${to}`],
      ['-L', `${at('l1')}:${to}`],
      ['-L', `${at('l2')}:127.0.0.1:${port.port}`],
      ['-R', `${at('r1')}:${to}`],
      ['-R', `${at('r2')}:127.0.0.1:${port.port}`],
      ['-R', `0:${to}`],
    ]
    const forward = start(['forward', ...specs.flat()], { to: server.address })
    const lines = await forward.lines(specs.length)
    const shown = at('target:1')
    assert.match(lines[0] ?? '', /^forwarding 127\.0\.0\.1:\d+ -> \//)
    assert.equal(lines[2], `forwarding ${at('l1')} -> ${shown}`)
    assert.equal(lines[5], `forwarding peer ${at('r2')} -> 127.0.0.1:${port.port}`)
    for (const [index, line] of lines.entries()) {
      const listens = / (?:peer )?(\S+) -> /.exec(line)?.[1] ?? ''
      const client = listens.startsWith('/')
        ? await dial(listens)
        : await dialLoopback(Number(/\d+$/.exec(listens)?.[0]))
      client.end(`request ${index}`)
      assert.equal(await heard(client), `answer to request ${index}`, line)
    }
    for (const name of ['l1', 'r1']) assert.equal(lstatSync(at(name)).mode & 0o777, 0o600)
    forward.child.kill('SIGTERM')
    await forward.ended
    await eventually(() => !['l1', 'l2', 'r1', 'r2'].some((name) => existsSync(at(name))), 'no socket is left')
    target.close()
    port.close()
  })

  it('takes over what a killed one has left, and nothing that is another’s', async () => {
    const target = await socketServer(at('t'), answering)
    const spec = ['forward', '-L', `${at('stale')}:${at('t')}`]
    const killed = start(spec, { to: server.address })
    await killed.lines(1)
    killed.child.kill('SIGKILL')
    await killed.ended
    assert.equal(lstatSync(at('stale')).isSocket(), true)
    const again = start(spec, { to: server.address })
    await again.lines(1)
    const second = await trunkline(spec, { to: server.address })
    assert.equal(second.status, 1)
    assert.match(second.stderr, /ERR_ADDRESS_IN_USE/)
    const client = await dial(at('stale'))
    client.end('x')
    assert.equal(await heard(client), 'answer to x')
    again.child.kill('SIGTERM')
    await again.ended
    assert.deepEqual(readdirSync(top), ['t'])
    target.close()
  })

  it('says which rule is missing', async () => {
    const ended = await trunkline(['forward', '-R', `/run/elsewhere:${at('t')}`], { to: server.address })
    assert.equal(ended.status, 4)
    assert.match(ended.stderr, /ERR_DENIED.*\/run\/elsewhere/)
    const bad = await trunkline(['serve', 'tcp://127.0.0.1:0', '--connect', 'unix:relative'])
    assert.equal(bad.status, 2)
    assert.match(bad.stderr, /--connect/)
  })

  const hasAgent = spawnSync('ssh-agent', ['-h']).error === undefined
  it('carries an ssh agent [R-663]', { skip: !hasAgent && 'openssh-client is not installed' }, async () => {
    const agent = spawn('ssh-agent', ['-D', '-a', at('agent')], { stdio: 'ignore' })
    endWithTests(agent)
    await eventually(() => existsSync(at('agent')), 'the agent listens')
    const forward = start(['forward', '-R', `${at('carried')}:${at('agent')}`], { to: server.address })
    await forward.lines(1)
    const env = { ...process.env, SSH_AUTH_SOCK: at('carried') }
    const key = at('key')
    assert.equal(spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'carried', '-f', key]).status, 0)
    assert.equal(spawnSync('ssh-add', [key], { env }).status, 0)
    const listed = spawnSync('ssh-add', ['-L'], { env, encoding: 'utf8' })
    assert.match(listed.stdout, /ssh-ed25519 .* carried/)
    forward.child.kill('SIGTERM')
    await forward.ended
    agent.kill('SIGTERM')
  })
})

describe('the words of a forward with paths', () => {
  it('are told apart from ports and hosts', () => {
    const shown = (text: string): unknown => {
      const { bind, port, path, host, hostPort, toPath } = parseForward(text)
      const text_ = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString()
      return [bind, port, text_(path), host, hostPort, text_(toPath)]
    }
    assert.deepEqual(shown('8080:/a'), [undefined, 8080, undefined, '', 0, '/a'])
    assert.deepEqual(shown('[::1]:8080:/a'), ['::1', 8080, undefined, '', 0, '/a'])
    assert.deepEqual(shown(':8080:@n'), ['*', 8080, undefined, '', 0, '@n'])
    assert.deepEqual(shown('/a:/b'), [undefined, 0, '/a', '', 0, '/b'])
    assert.deepEqual(shown('/a:[::1]:80'), [undefined, 0, '/a', '::1', 80, undefined])
    assert.deepEqual(shown('/a\\:b\\\\:h:80'), [undefined, 0, '/a:b\\', 'h', 80, undefined])
    const bad = ['/a', '/a:', '/a:80', '/a:h:80:x', '/a:h:99999', '80:h:/a', '/a:/b:80', '/a\\', 'x:/a']
    for (const text of [...bad, '8080:/a:80', '80:@a:x', '80:/a:', '/a:@b:', '80:/a:/b'])
      assert.throws(() => parseForward(text), InvalidArgumentError, text)
  })
})
