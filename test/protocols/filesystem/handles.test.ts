import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { TrunkError, type Pipe } from '../../../src/index.ts'
import { Turns } from '../../../protocols/filesystem/turns.ts'
import { filesystem } from '../../../protocols/filesystem.ts'
import { eventually } from '../../helpers/eventually.ts'
import { descriptorsIn, fails, serveFolder, temporaryFolder } from './served.ts'

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

describe('turns', () => {
  it('are given in order, at most so many at a time', async () => {
    const turns = new Turns(2)
    const order: number[] = []
    const leaves: (() => void)[] = []
    const takers = [0, 1, 2, 3].map(async (index) => {
      leaves[index] = await turns.take()
      order.push(index)
    })
    await Promise.all(takers.slice(0, 2))
    assert.deepEqual(order, [0, 1])
    leaves[1]!()
    leaves[1]!()
    await takers[2]
    assert.deepEqual(order, [0, 1, 2])
    leaves[0]!()
    await takers[3]
    assert.deepEqual(order, [0, 1, 2, 3])
  })

  it('are left by whoever aborts while waiting, without a trace [R-047]', async () => {
    const turns = new Turns(1)
    const leave = await turns.take()
    const controller = new AbortController()
    const waiting = turns.take(controller.signal)
    const behind = turns.take()
    controller.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await fails(waiting, 'ERR_ABORTED')
    await fails(turns.take(controller.signal), 'ERR_ABORTED')
    leave()
    ;(await behind)()
    ;(await turns.take())()
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
