import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { unixConnect, unixConnection, type UnixConnectionOptions } from '../../../protocols/unix-connection.ts'
import { dialPatiently, type UnixDial } from '../../../protocols/unix/dial.ts'
import { unixConnectionsOver } from '../../../protocols/unix/connection-server.ts'
import type { Connection } from '../../../protocols/tcp/connection.ts'
import { TrunkError, type Trunk } from '../../../src/index.ts'
import { abstractOfNode, FILLS_ABSTRACT, heard, socketServer, UNIX_DIALS } from '../../helpers/connection-kinds.ts'
import { eventually } from '../../helpers/eventually.ts'
import { textOf } from '../../helpers/loopback.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

/** What a call was refused with. */
function codeOf(error: unknown): string {
  return error instanceof TrunkError ? error.code : String(error)
}

/** The bytes of a path that is not text. */
function oddPath(folder: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff, 0xfe, 0x0a, 0x20, 0x3a)])
}

for (const { kind, dial, skip } of UNIX_DIALS)
  describe(`unix-connection, ${kind}`, { skip }, () => {
    async function trunkTo(options: UnixConnectionOptions): Promise<Trunk> {
      const [near] = await trunkPair({}, { protocols: [unixConnectionsOver(options, dial)] })
      open.push({ close: () => near.abort(new Error('the test is over')) })
      return near
    }

    /** A server that says its name, and what it was asked. */
    async function named(path: string, name: string): Promise<void> {
      const server = await socketServer(path, (socket) => {
        void heard(socket).then((asked) => socket.end(`${name}: ${asked}`))
      })
      open.push(server)
    }

    async function ask(near: Trunk, path: string | Uint8Array): Promise<string> {
      const pipe = await unixConnect(near, { path })
      await pipe.sink([Buffer.from('question')])
      const answer = await textOf(pipe.source)
      await pipe.close()
      return answer
    }

    it('carries docker’s API: requests over kept connections, and an answer that goes on [R-651]', async () => {
      const path = join(temporaryFolder(), 'docker.sock')
      const http = createServer((request, response) => {
        if (request.url === '/events') {
          response.write('{"status":"start"}\n')
          request.socket.once('close', () => response.end())
          return
        }
        request.resume().once('end', () => response.end(JSON.stringify({ ApiVersion: '1.47', at: request.url })))
      }).listen(path)
      await once(http, 'listening')
      open.push({ close: () => (http.closeAllConnections(), http.close()) })
      const near = await trunkTo({ allow: [path] })
      const pipe = await unixConnect(near, { path })
      await pipe.write(Buffer.from('GET /version HTTP/1.1\r\nHost: d\r\n\r\nGET /info HTTP/1.1\r\nHost: d\r\n\r\n'))
      await pipe.write(Buffer.from('GET /events HTTP/1.1\r\nHost: d\r\n\r\n'))
      let heard = ''
      for await (const chunk of pipe.source) {
        heard += Buffer.from(chunk.subarray()).toString()
        if (heard.includes('start')) break
      }
      assert.match(heard, /"at":"\/version"[^]*"at":"\/info"[^]*"status":"start"/)
      await pipe.close()
      await eventually(() => near.status().pipes.length === 0, 'the pipe is gone')
    })

    it('connects to names of any bytes and any length, and to abstract ones [R-652]', async () => {
      const top = temporaryFolder()
      const deep = join(top, 'd'.repeat(120), 'e'.repeat(120))
      mkdirSync(deep, { recursive: true })
      for (const [at, name] of [
        [top, 'with space'],
        [top, 'colon:in:it'],
        [top, 'line\nbreak'],
        [deep, 's'],
      ] as const) {
        // the kernel's own limit is 107 bytes, so the server is made elsewhere
        await named(join(top, 't'), name)
        renameSync(join(top, 't'), join(at, name))
        const near = await trunkTo({ allow: [`${top}/`] })
        assert.equal(await ask(near, join(at, name)), `${name}: question`)
      }
      await named(join(top, 't'), 'odd')
      renameSync(join(top, 't'), oddPath(top))
      assert.equal(await ask(await trunkTo({ allow: [`${top}/`] }), oddPath(top)), 'odd: question')
      const name = `trunkline-test-${String(process.pid)}-${kind}`
      const abstract = abstractOfNode(name)
      await named(`\0${name}`, 'abstract')
      const near = await trunkTo({ allow: [abstract] })
      await assert.rejects(unixConnect(near, { path: '@other' }), { code: 'ERR_DENIED' })
      const asked = ask(near, abstract)
      if (kind === 'net' && FILLS_ABSTRACT) await assert.rejects(asked, { code: 'ERR_ADDRESS_UNAVAILABLE' })
      else assert.equal(await asked, 'abstract: question')
    })

    it('follows no link, and leaves the folder of its rule by no rename [R-653]', async () => {
      const top = temporaryFolder()
      for (const name of ['allowed', 'secret']) mkdirSync(join(top, name))
      await named(join(top, 'secret', 's'), 'secret')
      symlinkSync('../secret/s', join(top, 'allowed', 'link'))
      symlinkSync('../secret', join(top, 'allowed', 'folder'))
      const near = await trunkTo({ allow: [`${top}/allowed/`] })
      for (const name of ['link', 'folder/s']) {
        await assert.rejects(unixConnect(near, { path: join(top, 'allowed', name) }), { code: 'ERR_DENIED' }, name)
      }
      await assert.rejects(unixConnect(near, { path: join(top, 'secret', 's') }), { code: 'ERR_DENIED' })
      // swapped again and again: never the other one's answer
      await named(join(top, 'allowed', 'own'), 'own')
      mkdirSync(join(top, 'allowed', 'deep'))
      await named(join(top, 'allowed', 'deep', 's'), 'deep')
      const answers = new Set<string>()
      for (let round = 0; round < 50; round += 1) {
        const asked = ask(near, join(top, 'allowed', 'deep', 's')).catch(codeOf)
        renameSync(join(top, 'allowed', 'deep'), join(top, 'allowed', 'away'))
        symlinkSync('../secret', join(top, 'allowed', 'deep'))
        answers.add(await asked)
        rmSync(join(top, 'allowed', 'deep'))
        renameSync(join(top, 'allowed', 'away'), join(top, 'allowed', 'deep'))
      }
      assert.equal(answers.has('secret: question'), false, [...answers].join())
    })

    it('refuses what is no socket, is not there, or is not answered, each by its code', async () => {
      const top = temporaryFolder()
      const near = await trunkTo({ allow: [`${top}/`] })
      writeFileSync(join(top, 'file'), '')
      await named(join(top, 's'), 'stale')
      renameSync(join(top, 's'), join(top, 'stale'))
      open.pop()?.close()
      for (const name of ['file', 'absent', 'file/below', 'stale']) {
        await assert.rejects(unixConnect(near, { path: join(top, name) }), { code: 'ERR_CONNECT_REFUSED' }, name)
      }
      for (const path of ['relative', '/a/../b', '/', '']) {
        await assert.rejects(unixConnect(near, { path }), { code: 'ERR_BAD_ARGUMENT' }, path)
        await assert.rejects(near.open('unix-connection', { path }), { code: 'ERR_PARAMS_INVALID' }, path)
      }
      await assert.rejects(near.open('unix-connection', { path: 7 }), { code: 'ERR_PARAMS_INVALID' })
    })

    it('refuses a socket that its user may not connect to', { skip: process.getuid?.() === 0 }, async () => {
      const top = temporaryFolder()
      await named(join(top, 's'), 'closed')
      chmodSync(join(top, 's'), 0)
      const near = await trunkTo({ allow: [`${top}/`] })
      await assert.rejects(unixConnect(near, { path: join(top, 's') }), { code: 'ERR_DENIED' })
    })

    it('has at most maxConnections of a trunk', async () => {
      const path = join(temporaryFolder(), 's')
      await named(path, 'one')
      const near = await trunkTo({ allow: [path], maxConnections: 1 })
      const first = await unixConnect(near, { path })
      await assert.rejects(unixConnect(near, { path }), { code: 'ERR_CONNECTION_LIMIT' })
      first.abort(new Error('enough'))
      const answers: string[] = []
      do answers.push(await ask(near, path).catch(codeOf))
      while (answers.at(-1) === 'ERR_CONNECTION_LIMIT')
      assert.equal(answers.at(-1), 'one: question')
    })

    it('carries 48 connections at once, each its own bytes [R-654]', async () => {
      const path = join(temporaryFolder(), 's')
      const server = await socketServer(path, (socket) => socket.pipe(socket))
      open.push(server)
      const near = await trunkTo({ allow: [path] })
      const words = Array.from({ length: 48 }, (_, index) => `${index}`.repeat(5_000))
      const heard = await Promise.all(
        words.map(async (word) => {
          const pipe = await unixConnect(near, { path })
          const [text] = await Promise.all([textOf(pipe.source), pipe.sink([Buffer.from(word)])])
          await pipe.close()
          return text
        }),
      )
      assert.deepEqual(heard, words)
    })
  })

describe('unix-connection', () => {
  it('waits for a listener whose backlog is full, and not for ever [R-655]', async () => {
    const clock = manualClock()
    let tries = 0
    const full: UnixDial = () => {
      tries += 1
      return Promise.reject(Object.assign(new Error('full'), { code: 'EAGAIN' }))
    }
    const never = new AbortController()
    const failed = dialPatiently(Buffer.from('/s'), { dial: full, clock, signal: never.signal, timeoutMs: 1_000 })
    failed.catch(() => undefined)
    await eventually(() => {
      clock.advance(100)
      return tries > 8
    }, 'it is asked again')
    await eventually(() => {
      clock.advance(100)
      return clock.now() > 2_000
    }, 'the time is over')
    await assert.rejects(failed, { code: 'EAGAIN' })
    const connection = {} as Connection
    let left = 3
    const later: UnixDial = () => ((left -= 1) > 0 ? full(Buffer.alloc(0)) : Promise.resolve(connection))
    const dialled = dialPatiently(Buffer.from('/s'), { dial: later, clock, signal: never.signal, timeoutMs: 1_000 })
    await eventually(() => {
      clock.advance(100)
      return left === 0
    }, 'it is let in')
    assert.equal(await dialled, connection)
  })

  it('has options that are checked at once', () => {
    assert.throws(() => unixConnection({ allow: ['x'] }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => unixConnection({ allow: [], maxConnections: 0 }), { code: 'ERR_BAD_ARGUMENT' })
  })
})
