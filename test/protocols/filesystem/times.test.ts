/**
 * Dates of files: before 1970, with fractions, far away. None becomes another one, and none fails a
 * copy.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { filesystem } from '../../../protocols/filesystem.ts'
import { MAX_SMALL_BYTES } from '../../../protocols/filesystem/file-batch.ts'
import { dateOf, keepTimes, setTimes, systemTime } from '../../../protocols/filesystem/times.ts'
import { run } from '../../../src/cli/run.ts'
import { formatTime } from '../../../src/cli/format.ts'
import { serve } from '../../../src/index.ts'
import { loadNative } from '../../../src/native/load.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { serveFolder, temporaryFolder, toArray } from './served.ts'

const DATES = {
  'of 1929': Date.UTC(1929, 9, 29),
  'half a second before 1970': -500,
  'of 1901, with a fraction': Date.UTC(1901, 0, 1) + 0.125,
  'of 1970': 0,
  'with milliseconds': 981_173_106_123,
  'with microseconds': 981_173_106_123.457,
  'of 2040': Date.UTC(2040, 0, 1) + 7,
  'of 2500': Date.UTC(2500, 0, 1),
  'of 9999': Date.UTC(9999, 11, 31),
  'farthest in the past': -8.64e15,
  'farthest in the future': 8.64e15,
}

/** What a file system has in place of `ms`, by its own word. */
function kept(folder: string, ms: number): number {
  const probe = join(folder, 'probe')
  writeFileSync(probe, '')
  setTimes(Buffer.from(probe), { modifiedMs: ms, accessedMs: ms })
  return statSync(probe).mtimeMs
}

describe('a date', () => {
  for (const native of [loadNative(), undefined]) {
    const how = native === undefined ? 'without the addon' : 'with the addon'
    it(`is set as it is, ${how}, and left where it is not given [R-437]`, (t) => {
      const path = join(temporaryFolder(t), 'file')
      writeFileSync(path, '')
      const fd = openSync(path, 'r')
      t.after(() => closeSync(fd))
      // Node's seconds are a double
      const tolerance = native === undefined ? 0.002 : 0
      const has = (modifiedMs: number, accessedMs: number): void => {
        const { mtimeMs, atimeMs } = statSync(path)
        const apart = Math.max(Math.abs(mtimeMs - modifiedMs), Math.abs(atimeMs - accessedMs))
        assert.ok(apart <= tolerance, `${mtimeMs} and ${atimeMs}, not ${modifiedMs} and ${accessedMs}`)
      }
      const isSet = (ms: number): void => {
        for (const file of [fd, Buffer.from(path)]) {
          setTimes(file, { modifiedMs: 0, accessedMs: 0 }, native)
          setTimes(file, { modifiedMs: ms }, native)
          has(ms, 0)
          setTimes(file, { accessedMs: ms }, native)
          has(ms, ms)
        }
      }
      for (const ms of Object.values(DATES)) isSet(ms)
      fc.assert(fc.property(fc.integer({ min: -2e12, max: 8e12 }), isSet))
    })
  }

  it('is split into what the system counts, by its digits [R-437]', () => {
    assert.deepEqual(systemTime(1.5), { seconds: 0, nanoseconds: 1_500_000 })
    assert.deepEqual(systemTime(-0.001), { seconds: -1, nanoseconds: 999_999_000 })
    assert.deepEqual(systemTime(-1000), { seconds: -1, nanoseconds: 0 })
    assert.deepEqual(systemTime(1_770_000_000_402.123), { seconds: 1_770_000_000, nanoseconds: 402_123_000 })
    assert.deepEqual(systemTime(1e-9), { seconds: 0, nanoseconds: 0 })
    assert.deepEqual(systemTime(-8.64e15), { seconds: -8.64e12, nanoseconds: 0 })
    assert.deepEqual([dateOf(1e300), dateOf(-1e17), dateOf(-5)], [8.64e15, -8.64e15, -5])
  })

  it('is refused by the addon where it is none', { skip: loadNative() === undefined && 'no addon' }, () => {
    const native = loadNative()!
    const path = Buffer.from(join(tmpdir(), 'nothing'))
    for (const args of [
      [],
      ['text', 0, 0],
      [Buffer.alloc(0), 0, 0],
      [Buffer.from('a\0'), 0, 0],
      [path, 0, 1e9],
      [path, 0, -1],
      [path, '0', 0],
      [path, 0],
    ]) {
      assert.throws(() => native.setTimes(...(args as [number, number, number])), TypeError, JSON.stringify(args))
    }
    assert.throws(() => native.setTimes(path, 0, 0), { code: 'ENOENT', syscall: 'utimensat' })
    assert.throws(() => native.setTimes(1_000_000, 0, 0), { code: 'EBADF', syscall: 'futimens' })
  })

  it('that a file system cannot keep is clamped, or left, and no copy fails [R-438]', (t) => {
    const asked: unknown[][] = []
    const native = (refused: (seconds: number) => boolean, code: string) => ({
      setTimes(...args: unknown[]): void {
        asked.push(args)
        if (refused(args[3] as number)) throw Object.assign(new Error(code), { code })
      },
    })
    const file = Buffer.from(join(temporaryFolder(t), 'file'))
    keepTimes(
      file,
      { modifiedMs: 8.64e15 },
      native((seconds) => seconds >= 2 ** 31, 'EINVAL'),
    )
    assert.deepEqual(asked.at(-1)?.slice(3), [2 ** 31 - 1, 0])
    keepTimes(
      file,
      { modifiedMs: -8.64e15 },
      native((seconds) => seconds < -(2 ** 31), 'EOVERFLOW'),
    )
    assert.deepEqual(asked.at(-1)?.slice(3), [-(2 ** 31), 0])
    keepTimes(
      file,
      { modifiedMs: 5 },
      native(() => true, 'ENOTSUP'),
    )
    assert.throws(
      () =>
        keepTimes(
          file,
          { modifiedMs: 5 },
          native(() => true, 'EIO'),
        ),
      { code: 'EIO' },
    )
  })

  it('is shown in full', () => {
    assert.equal(formatTime(Date.UTC(1929, 9, 29)), '1929-10-29 00:00:00')
    assert.equal(formatTime(8.64e15), '+275760-09-13 00:00:00')
    assert.equal(formatTime(-8.64e15), '-271821-04-20 00:00:00')
  })
})

for (const { title, parent } of [
  { title: 'in memory', parent: undefined },
  { title: 'on this disk', parent: tmpdir() },
]) {
  describe(`files with dates, ${title}`, () => {
    const folder = (t: TestContext): string => temporaryFolder(t, parent)

    it('have them after each call of the client [R-438]', async (t) => {
      const { root, files } = await serveFolder(t, { root: folder(t) })
      mkdirSync(join(root, 'folder'))
      writeFileSync(join(root, 'changed'), '')
      for (const [which, modifiedMs] of Object.entries(DATES)) {
        const expected = kept(root, modifiedMs)
        await files.write('written', Buffer.from('x'), { modifiedMs })
        await files.write('in place', Buffer.from('x'), { modifiedMs, append: true })
        const small = ['a', 'b', 'c'].map((name) => files.write(name, Buffer.from('x'), { modifiedMs, durable: false }))
        await Promise.all(small)
        await files.setAttributes('changed', { modifiedMs })
        await files.setAttributes('folder', { modifiedMs, accessedMs: modifiedMs })
        for (const name of ['written', 'in place', 'a', 'b', 'c', 'changed', 'folder']) {
          assert.equal(lstatSync(join(root, name)).mtimeMs, expected, `${name} ${which}`)
          assert.equal((await files.stat(name)).modifiedMs, expected, `${name} ${which}`)
        }
      }
    })

    it('keep them in copies, both ways, alone and in trees [R-438]', async (t) => {
      const [root, here] = [folder(t), folder(t)]
      const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
      t.after(() => server.close())
      const copy = async (...args: string[]): Promise<void> => {
        const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address })
        assert.equal(await run(['cp', ...args], context), 0, stderr())
      }
      mkdirSync(join(here, 'tree'))
      const expected = new Map<string, number>()
      for (const [which, ms] of Object.entries(DATES)) {
        const [small, large, deep] = [`small ${which}`, `large ${which}`, `folder ${which}`] as const
        writeFileSync(join(here, 'tree', small), 'x')
        writeFileSync(join(here, 'tree', large), Buffer.alloc(MAX_SMALL_BYTES + 1))
        mkdirSync(join(here, 'tree', deep))
        for (const name of [small, large, deep]) {
          setTimes(Buffer.from(join(here, 'tree', name)), { modifiedMs: ms })
          expected.set(name, lstatSync(join(here, 'tree', name)).mtimeMs)
        }
      }
      await copy('-r', join(here, 'tree'), ':tree')
      await copy('-r', ':tree', join(here, 'back'))
      await copy(join(here, 'tree', 'large of 1929'), ':alone')
      await copy(':alone', join(here, 'alone'))
      for (const path of [join(root, 'alone'), join(here, 'alone')])
        assert.equal(statSync(path).mtimeMs, kept(here, DATES['of 1929']))
      for (const tree of [join(root, 'tree'), join(here, 'back')]) {
        assert.equal(readdirSync(tree).length, expected.size)
        for (const [name, ms] of expected) assert.equal(lstatSync(join(tree, name)).mtimeMs, ms, join(tree, name))
      }
    })
  })
}

describe(
  'a date that no Date has',
  { skip: process.platform !== 'linux' && 'needs a file system with such dates' },
  () => {
    it('is the last one that is, in a listing, a status and a copy [R-438]', async (t) => {
      const { root, files } = await serveFolder(t)
      const here = temporaryFolder(t)
      execFileSync('touch', ['-d', '@100000000000000', join(root, 'far')])
      if (lstatSync(join(root, 'far')).mtimeMs <= 8.64e15) {
        t.skip('this file system has no such dates')
        return
      }
      assert.equal((await files.stat('far')).modifiedMs, 8.64e15)
      assert.deepEqual(
        (await toArray(files.list(''))).map(({ modifiedMs }) => modifiedMs),
        [8.64e15],
      )
      const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
      t.after(() => server.close())
      for (const args of [
        [':far', here],
        ['-r', ':/', join(here, 'tree')],
        [join(root, 'far'), ':up'],
        ['-r', join(here, 'tree'), ':tree'],
      ]) {
        const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address })
        assert.equal(await run(['cp', ...args], context), 0, stderr())
      }
      utimesSync(join(root, 'up'), 1, 1)
    })
  },
)
