import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { TrunkError, type Pipe } from '../../../src/index.ts'
import { Crowd } from '../../../protocols/filesystem/crowd.ts'
import { filesystem, filesystemClient } from '../../../protocols/filesystem.ts'
import { eventually } from '../../helpers/eventually.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { collect, descriptorsIn, fails, serveFolder, temporaryFolder, toArray } from './served.ts'

describe('open files', () => {
  it('are 64 of 10,000, the others are refused, and all come back [R-089]', async (t) => {
    const { root, near, files } = await serveFolder(t)
    const file = join(root, 'file')
    const fd = openSync(file, 'w')
    ftruncateSync(fd, 64 * 1024 * 1024)
    closeSync(fd)
    const path = Buffer.from('file')
    const open: Pipe[] = []
    const codes = new Map<string, number>()
    for (let batch = 0; batch < 100; batch++) {
      const opens = Array.from({ length: 100 }, () => near.open('filesystem', { op: 'read', path }))
      for (const result of await Promise.allSettled(opens)) {
        if (result.status === 'fulfilled') open.push(result.value)
        else {
          const { code } = result.reason as TrunkError
          codes.set(code, (codes.get(code) ?? 0) + 1)
        }
      }
    }
    assert.equal(open.length, 64)
    assert.deepEqual([...codes], [['ERR_HANDLE_LIMIT', 10_000 - 64]])
    assert.equal(descriptorsIn(file).length, 64)
    assert.equal((await files.stat('file')).links, 1, 'what needs no descriptor still works')
    for (const pipe of open) pipe.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await eventually(() => descriptorsIn(file).length === 0, 'all are closed')
    assert.deepEqual(await files.write('small', Buffer.of(1)), { bytes: 1 })
  })

  it('are counted for each trunk, and given back when its session ends [R-089]', async (t) => {
    const root = temporaryFolder(t)
    writeFileSync(join(root, 'file'), Buffer.alloc(1024 * 1024))
    const protocolOptions = { root, maxHandles: 2 }
    const first = await serveFolder(t, protocolOptions)
    const params = { op: 'read', path: Buffer.from('file') }
    await first.near.open('filesystem', params)
    await first.near.open('filesystem', params)
    await fails(first.near.open('filesystem', params), 'ERR_HANDLE_LIMIT')
    const second = await serveFolder(t, protocolOptions)
    await second.near.open('filesystem', params)
    first.near.abort(new TrunkError('ERR_ABORTED', 'gone'))
    second.near.abort(new TrunkError('ERR_ABORTED', 'gone'))
    await eventually(() => descriptorsIn(root).length === 0, 'the root is closed too')
  })

  it('stay few when an operation fails half-way', async (t) => {
    const { root, files } = await serveFolder(t)
    mkdirSync(join(root, 'a/b'), { recursive: true })
    writeFileSync(join(root, 'a/file'), '')
    for (let round = 0; round < 200; round++) {
      await files.stat('a/file/x').catch(() => undefined)
      await files.rename('a/file', 'a/nothing/x').catch(() => undefined)
      await files.write('a/b', Buffer.of(1)).catch(() => undefined)
      await files.mkdir('a/b').catch(() => undefined)
      await files.setAttributes('a/b/x', { mode: 0o600 }).catch(() => undefined)
      await files.remove('a').catch(() => undefined)
    }
    assert.deepEqual(descriptorsIn(root), [root])
  })
})

describe('[R-427] a peer with few descriptors', () => {
  const big = Buffer.alloc(100_000, 1)
  const names = Array.from({ length: 60 }, (_, index) => `f${index}`)

  for (const maxHandles of [1, 2, 5]) {
    it(`of ${maxHandles} at a time does all of a crowd`, async (t) => {
      const { root, files } = await serveFolder(t, { maxHandles })
      await Promise.all(names.map((name) => files.write(name, big, { durable: false })))
      const read = await Promise.all(names.map((name) => collect(files.read(name))))
      assert.ok(read.every((content) => content.equals(big)))
      await Promise.all(names.map((name) => files.write(`small-${name}`, Buffer.from(name), { durable: false })))
      // each with a signal of its own: none shares a pipe
      const alone = names.map((name) => files.readSmall(`small-${name}`, { signal: new AbortController().signal }))
      const together = names.map((name) => files.readSmall(`small-${name}`))
      const hashes = names.map((name) => files.sha256(name))
      const small = [...(await Promise.all(alone)), ...(await Promise.all(together))]
      assert.deepEqual(
        small.map((content) => Buffer.from(content ?? []).toString()),
        [...names, ...names],
      )
      assert.equal(new Set((await Promise.all(hashes)).map((hash) => Buffer.from(hash).toString('hex'))).size, 1)
      await Promise.all(names.map((name) => files.remove(name)))
      assert.equal((await toArray(files.list(''))).length, names.length)
      assert.equal(descriptorsIn(root).length, 1)
    })
  }

  it('is told of at once where nothing else of ours runs, but for listings', async (t) => {
    const { root, near, files } = await serveFolder(t, { maxHandles: 1 })
    writeFileSync(join(root, 'a'), big)
    const held = await near.open('filesystem', { op: 'writeMany' })
    await fails(files.sha256('a'), 'ERR_HANDLE_LIMIT')
    held.abort(new TrunkError('ERR_ABORTED', 'enough'))

    const crowd = new Crowd(48)
    const entrance = { clock: manualClock(), patienceMs: 1 }
    const listing = await crowd.enter({ ...entrance, pulled: true }, () => Promise.resolve('a listing'))
    const refusal = new TrunkError('ERR_HANDLE_LIMIT', 'none left', { origin: 'remote' })
    await fails(
      crowd.enter(entrance, () => Promise.reject(refusal)),
      'ERR_HANDLE_LIMIT',
    )
    listing.leave()
  })

  it('keeps nobody waiting beyond the time without progress, nor after an abort', async (t) => {
    const { root, near } = await serveFolder(t, { maxHandles: 1 })
    writeFileSync(join(root, 'a'), Buffer.alloc(8 * 1024 * 1024))
    const clock = manualClock()
    const files = filesystemClient(near, { clock, progressTimeoutMs: 5000 })
    const reading = files.read('a')
    await reading.next()
    const abort = new AbortController()
    const aborted = fails(files.sha256('a', { signal: abort.signal }), 'ERR_ABORTED')
    const waiting = fails(files.sha256('a'), 'ERR_HANDLE_LIMIT')
    await eventually(() => clock.pending === 2, 'both wait')
    abort.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await aborted
    clock.advance(5000)
    await waiting
    assert.equal(clock.pending, 0)
    await reading.return(undefined)
    await eventually(() => descriptorsIn(root).length === 1, 'the file is closed')
    assert.equal((await files.sha256('a')).byteLength, 32)
  })

  it('gets one more at a time for each hundred that end well', async () => {
    const crowd = new Crowd(4)
    const entrance = { clock: manualClock(), patienceMs: 1 }
    let room = 1
    const state = { used: 0, most: 0 }
    const operation = async (): Promise<void> => {
      const { leave } = await crowd.enter(entrance, () => {
        if (state.used === room) {
          return Promise.reject(new TrunkError('ERR_HANDLE_LIMIT', 'none left', { origin: 'remote' }))
        }
        state.used++
        state.most = Math.max(state.most, state.used)
        return Promise.resolve()
      })
      await new Promise((resolve) => setImmediate(resolve))
      state.used--
      leave()
    }
    await Promise.all(Array.from({ length: 8 }, operation))
    assert.equal(state.most, 1)
    room = 4
    await Promise.all(Array.from({ length: 90 }, operation))
    assert.equal(state.most, 1)
    await Promise.all(Array.from({ length: 400 }, operation))
    assert.equal(state.most, 4)
  })
})

describe('the options', () => {
  it('are refused at once where they make no sense [R-079]', (t) => {
    const root = temporaryFolder(t)
    writeFileSync(join(root, 'file'), '')
    const bad: [Record<string, unknown>, string][] = [
      [{}, 'ERR_BAD_ARGUMENT'],
      [{ root: '' }, 'ERR_BAD_ARGUMENT'],
      [{ root: 7 }, 'ERR_BAD_ARGUMENT'],
      [{ root: join(root, 'nothing') }, 'ERR_NOT_FOUND'],
      [{ root: join(root, 'file') }, 'ERR_NOT_DIRECTORY'],
      [{ root, readOnly: 'yes' }, 'ERR_BAD_ARGUMENT'],
      [{ root, maxHandles: 0 }, 'ERR_BAD_ARGUMENT'],
      [{ root, maxHandles: 1.5 }, 'ERR_BAD_ARGUMENT'],
      [{ root, maxFileBytes: -1 }, 'ERR_BAD_ARGUMENT'],
      [{ root, maxFileBytes: NaN }, 'ERR_BAD_ARGUMENT'],
      [{ root, allowHardLinkWrites: 1 }, 'ERR_BAD_ARGUMENT'],
    ]
    for (const [options, code] of bad) {
      assert.throws(() => filesystem(options as { root: string }), { code }, JSON.stringify(options))
    }
  })
})
