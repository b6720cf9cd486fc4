import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import {
  unixListen,
  unixListener,
  type UnixListenerOptions,
  type UnixListening,
} from '../../../protocols/unix-listener.ts'
import { nativeSockets, netSockets, type UnixSockets } from '../../../protocols/unix/listen.ts'
import { unixListenerOver } from '../../../protocols/unix/listener-server.ts'
import type { Pipe, Trunk } from '../../../src/index.ts'
import { childProgram, firstLine } from '../../helpers/child-program.ts'
import { abstractOfNode, FILLS_ABSTRACT, socketServer } from '../../helpers/connection-kinds.ts'
import { eventually } from '../../helpers/eventually.ts'
import { textOf } from '../../helpers/loopback.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

async function dial(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  open.push({ close: () => socket.destroy() })
  return socket
}

async function first(listening: UnixListening): Promise<Pipe> {
  const next = await listening[Symbol.asyncIterator]().next()
  assert.ok(next.done !== true)
  return next.value
}

/** A socket file that nobody answers, as a killed program leaves it. */
async function leaveStale(path: string): Promise<void> {
  const aside = `${path}-aside`
  const server = await socketServer(aside)
  renameSync(aside, path)
  server.close()
}

const native = nativeSockets()
const KINDS: readonly { kind: string; sockets: UnixSockets; skip: string | false }[] = [
  { kind: 'native', sockets: native ?? netSockets, skip: native === undefined && 'the native addon is not built' },
  { kind: 'net', sockets: netSockets, skip: false },
]

for (const { kind, sockets, skip } of KINDS)
  describe(`unix-listener, ${kind}`, { skip }, () => {
    async function trunkTo(options: UnixListenerOptions): Promise<Trunk> {
      const [near] = await trunkPair({}, { protocols: [unixListenerOver(options, () => sockets)] })
      open.push({ close: () => near.abort(new Error('the test is over')) })
      return near
    }

    it('carries connections both ways, and leaves nothing when it is closed [R-656]', async () => {
      const top = temporaryFolder()
      const path = join(top, 's')
      const near = await trunkTo({ allow: [`${top}/`] })
      const listening = await unixListen(near, { path })
      assert.deepEqual(readdirSync(top), ['s'])
      const client = await dial(path)
      client.end('from outside')
      const pipe = await first(listening)
      assert.equal(await textOf(pipe.source), 'from outside')
      await pipe.write(Buffer.from('and back'))
      await pipe.closeWrite()
      assert.equal(await textOf(client), 'and back')
      await listening.close()
      assert.deepEqual(readdirSync(top), [])
    })

    it('gives a socket its mode before anyone can connect, and no wider one than is allowed [R-657]', async () => {
      const top = temporaryFolder()
      const path = join(top, 's')
      const near = await trunkTo({ allow: [`${top}/`] })
      const umask = process.umask(0)
      try {
        const listening = await unixListen(near, { path })
        assert.equal(lstatSync(path).mode & 0o777, 0o600)
        await listening.close()
      } finally {
        process.umask(umask)
      }
      await assert.rejects(unixListen(near, { path, mode: 0o660 }), { code: 'ERR_DENIED' })
      const wider = await trunkTo({ allow: [`${top}/`], mode: 0o660 })
      await unixListen(wider, { path, mode: 0o660 })
      assert.equal(lstatSync(path).mode & 0o777, 0o660)
      await assert.rejects(unixListen(near, { path, mode: 0o1000 }), { code: 'ERR_BAD_ARGUMENT' })
    })

    it('never removes what somebody else has put at its name [R-658]', async () => {
      const top = temporaryFolder()
      const near = await trunkTo({ allow: [`${top}/`] })
      writeFileSync(join(top, 'file'), 'precious')
      mkdirSync(join(top, 'folder'))
      symlinkSync('nowhere', join(top, 'link'))
      const live = await socketServer(join(top, 'live'))
      open.push(live)
      for (const name of ['file', 'folder', 'link', 'live']) {
        const before = lstatSync(join(top, name)).ino
        await assert.rejects(unixListen(near, { path: join(top, name) }), { code: 'ERR_ADDRESS_IN_USE' }, name)
        assert.equal(lstatSync(join(top, name)).ino, before, name)
      }
      // ours was replaced meanwhile
      const path = join(top, 'mine')
      const listening = await unixListen(near, { path })
      rmSync(path)
      writeFileSync(path, 'theirs')
      await listening.close()
      assert.equal(lstatSync(path).isFile(), true)
      assert.deepEqual(readdirSync(top).sort(), ['file', 'folder', 'link', 'live', 'mine'])
    })

    it('takes the name of a socket that nobody answers, and of several who do one has it [R-659]', async () => {
      const top = temporaryFolder()
      const path = join(top, 's')
      await leaveStale(path)
      const near = await trunkTo({ allow: [`${top}/`] })
      const answers = await Promise.allSettled(Array.from({ length: 8 }, () => unixListen(near, { path })))
      const won = answers.filter(({ status }) => status === 'fulfilled')
      assert.equal(won.length, 1)
      for (const answer of answers) {
        if (answer.status === 'rejected') assert.equal((answer.reason as { code: string }).code, 'ERR_ADDRESS_IN_USE')
      }
      await dial(path)
      assert.deepEqual(readdirSync(top), ['s'])
    })

    it('listens at names of any bytes and any length, and at abstract ones', async () => {
      const top = temporaryFolder()
      const deep = join(top, 'd'.repeat(120))
      mkdirSync(deep)
      const near = await trunkTo({ allow: [`${top}/`, '@*'] })
      for (const path of [join(top, 'n'.repeat(200)), join(deep, 'a:b c\nd')]) {
        await unixListen(near, { path })
        assert.equal(lstatSync(path).isSocket(), true)
      }
      const odd = Buffer.concat([Buffer.from(`${top}/`), Buffer.of(0xff, 0xfe)])
      await unixListen(near, { path: odd })
      assert.equal(lstatSync(odd).isSocket(), true)
      const name = `trunkline-listener-${String(process.pid)}-${kind}`
      const abstract = abstractOfNode(name)
      if (kind === 'net' && FILLS_ABSTRACT) {
        await assert.rejects(unixListen(near, { path: abstract }), { code: 'ERR_ADDRESS_UNAVAILABLE' })
        return
      }
      const listening = await unixListen(near, { path: abstract })
      await assert.rejects(unixListen(near, { path: abstract }), { code: 'ERR_ADDRESS_IN_USE' })
      const client = await dial(`\0${name}`)
      client.end('hello')
      assert.equal(await textOf((await first(listening)).source), 'hello')
    })

    it('refuses a folder that others may write to, one that is not there, and what no rule names', async () => {
      const top = temporaryFolder()
      const shared = join(top, 'shared')
      mkdirSync(shared)
      chmodSync(shared, 0o777)
      symlinkSync('shared', join(top, 'link'))
      const near = await trunkTo({ allow: [`${top}/`] })
      await assert.rejects(unixListen(near, { path: join(shared, 's') }), { code: 'ERR_BIND_DENIED' })
      chmodSync(shared, 0o1777)
      await unixListen(near, { path: join(shared, 's') })
      await assert.rejects(unixListen(near, { path: join(top, 'link', 's') }), { code: 'ERR_DENIED' })
      await assert.rejects(unixListen(near, { path: join(top, 'absent', 's') }), { code: 'ERR_ADDRESS_UNAVAILABLE' })
      await assert.rejects(unixListen(near, { path: '/elsewhere/s' }), { code: 'ERR_DENIED' })
    })

    it('refuses a folder that its user may not write to', { skip: process.getuid?.() === 0 }, async () => {
      const top = temporaryFolder()
      mkdirSync(join(top, 'closed'), { mode: 0o500 })
      const near = await trunkTo({ allow: [`${top}/`] })
      await assert.rejects(unixListen(near, { path: join(top, 'closed', 's') }), { code: 'ERR_BIND_DENIED' })
    })

    it('serves 48 clients that come at once, and counts its listeners [R-654]', async () => {
      const top = temporaryFolder()
      const path = join(top, 's')
      const near = await trunkTo({ allow: [`${top}/`], maxListeners: 1 })
      const listening = await unixListen(near, { path }, { accepts: 8 })
      await assert.rejects(unixListen(near, { path: join(top, 't') }), { code: 'ERR_LISTENER_LIMIT' })
      void (async () => {
        for await (const pipe of listening) void pipe.sink(pipe.source).catch(() => undefined)
      })().catch(() => undefined)
      const words = Array.from({ length: 48 }, (_, index) => `${index}`.repeat(5_000))
      const heard = await Promise.all(
        words.map(async (word) => {
          const client = await dial(path)
          client.end(word)
          return await textOf(client)
        }),
      )
      assert.deepEqual(heard, words)
    })

    it('loses its name with the session', async () => {
      const top = temporaryFolder()
      const near = await trunkTo({ allow: [`${top}/`] })
      const listening = await unixListen(near, { path: join(top, 's') })
      near.abort(new Error('the line is cut'))
      await assert.rejects(first(listening), { code: 'ERR_SESSION_ABORTED' })
      await eventually(() => readdirSync(top).length === 0, 'the socket is removed')
    })
  })

describe('unix-listener', () => {
  it('takes over what a killed process has left [R-660]', async () => {
    const top = temporaryFolder()
    const path = join(top, 's')
    const code = `
      const { unixListener } = await import('./protocols/unix-listener.ts')
      const server = await serve('unix://${top}/line', { protocols: [unixListener({ allow: ['${top}/'] })] })
      console.log(server.address)
      for await (const trunk of server) trunk.closed.catch(() => undefined)`
    const listenOnce = async (): Promise<() => Promise<void>> => {
      const child = childProgram(code)
      const { connect: connectTrunk } = await import('../../../src/index.ts')
      const near = await connectTrunk(await firstLine(child))
      near.closed.catch(() => undefined)
      await unixListen(near, { path })
      await dial(path)
      return async () => {
        child.kill('SIGKILL')
        await child.exited
      }
    }
    await (
      await listenOnce()
    )()
    const left = lstatSync(path).ino
    const again = await listenOnce()
    assert.notEqual(lstatSync(path).ino, left)
    await again()
  })

  const canMount = spawnSync('unshare', ['-rm', 'true']).status === 0
  it('says that the disk is full [R-661]', { skip: !canMount && 'no file system may be mounted here' }, () => {
    const top = temporaryFolder()
    const code = `
      import { trunkPair } from './test/helpers/trunk-pair.ts'
      import { unixListen, unixListener } from './protocols/unix-listener.ts'
      const [near] = await trunkPair({}, { protocols: [unixListener({ allow: ['${top}/'] })] })
      const error = await unixListen(near, { path: '${top}/s' }).catch((thrown) => thrown)
      console.log(error.code)
      process.exit(0)`
    const script = `mount -t tmpfs -o nr_inodes=1 none "$1" && exec "$2" --import tsx --input-type=module -e "$3"`
    const ran = spawnSync('unshare', ['-rm', 'sh', '-c', script, 'sh', top, process.execPath, code], {
      encoding: 'utf8',
    })
    assert.equal(ran.stdout.trim(), 'ERR_NO_SPACE', ran.stderr)
  })

  it('has options that are checked at once', () => {
    assert.throws(() => unixListener({ allow: ['x'] }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => unixListener({ allow: [], mode: 0o10000 }), { code: 'ERR_BAD_ARGUMENT' })
  })
})
