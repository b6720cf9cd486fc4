/**
 * Deep trees: a walk must not hold what the copies that it feeds are waiting for, and removing goes
 * deeper than paths do.
 */
import assert from 'node:assert/strict'
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { filesystem } from '../../../protocols/filesystem.ts'
import { emptyDirectory, type Removing } from '../../../protocols/filesystem/remove-tree.ts'
import { Root } from '../../../protocols/filesystem/root.ts'
import { fileProtocol } from '../../../protocols/filesystem/server.ts'
import { Serving } from '../../../protocols/filesystem/serving.ts'
import { run } from '../../../src/cli/run.ts'
import { serve } from '../../../src/index.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { descriptorsIn, fails, serveFolder, serveProtocol, temporaryFolder } from './served.ts'

describe('a tree of many levels', () => {
  for (const [terminal, levels] of [
    [0, 200],
    [80, 70],
  ] as const) {
    const how = terminal > 0 ? 'while its size is found out for the progress bar' : 'in a pipe'
    it(`of ${levels} is copied from the peer and back, ${how} [R-279]`, { timeout: 120_000 }, async (t) => {
      const base = temporaryFolder(t)
      const [root, here] = [join(base, 'root'), join(base, 'here')]
      const deep = Array<string>(levels).fill('d')
      mkdirSync(join(root, 'tree', ...deep), { recursive: true })
      for (let file = 0; file < 60; file++) writeFileSync(join(root, 'tree', ...deep, `f${file}`), 'x')
      const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
      t.after(() => server.close())
      for (const [from, to] of [
        [':tree', here],
        [here, ':back'],
      ] as const) {
        const { context, stderr } = capturedContext({}, terminal)
        assert.equal(await run(['cp', '-r', '--to', server.address, from, to], context), 0, stderr())
      }
      for (const folder of [here, join(root, 'back')]) assert.equal(readdirSync(join(folder, ...deep)).length, 60)
    })
  }
})

/** A chain of `levels` directories below `folder`, deeper than any path, with a file in each. */
function chain(folder: string, levels: number): void {
  mkdirSync(folder)
  let fd = openSync(folder, constants.O_DIRECTORY)
  for (let level = 1; level < levels; level++) {
    const here = `/proc/self/fd/${fd}`
    writeFileSync(`${here}/file`, '')
    mkdirSync(`${here}/d`)
    const next = openSync(`${here}/d`, constants.O_DIRECTORY)
    closeSync(fd)
    fd = next
  }
  closeSync(fd)
}

const immediate = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })
const skip = process.platform !== 'linux' && 'needs descriptors of directories'

describe('removing a tree', { skip }, () => {
  it(
    'goes deeper than paths do, and holds a few descriptors whatever the depth [R-440]',
    { timeout: 120_000 },
    async (t) => {
      const { root, files } = await serveFolder(t)
      chain(join(root, 'tree'), 1000)
      writeFileSync(join(root, 'beside'), '')
      const state = { done: false, most: 0 }
      const removing = files.remove('tree', { recursive: true }).finally(() => {
        state.done = true
      })
      for (let turn = 0; !state.done; turn++) {
        await immediate()
        if (turn % 100 === 0) state.most = Math.max(state.most, descriptorsIn(root).length)
      }
      await removing
      assert.ok(state.most > 8 && state.most < 50, `${state.most} descriptors`)
      assert.deepEqual(readdirSync(root), ['beside'])
    },
  )

  it('refuses what no path reaches before anything is removed, where it walks by paths [R-441]', async (t) => {
    const folder = temporaryFolder(t)
    const options = { readOnly: false, maxHandles: 64, maxFileBytes: 2 ** 40, allowHardLinkWrites: false }
    const { files } = await serveProtocol(t, fileProtocol(new Serving(new Root(Buffer.from(folder), false), options)))
    chain(join(folder, 'tree'), 2060)
    await fails(files.remove('tree', { recursive: true }), 'ERR_PATH_INVALID')
    const left = (path: string): string[] => readdirSync(join(folder, path)).sort()
    assert.deepEqual(
      [left('tree'), left(`tree/${'d/'.repeat(1000)}`)],
      [
        ['d', 'file'],
        ['d', 'file'],
      ],
    )
    mkdirSync(join(folder, 'flat/a/b'), { recursive: true })
    await files.remove('flat', { recursive: true })
    assert.deepEqual(left(''), ['tree'])
    // nothing else removes it
    await (await serveFolder(t, { root: folder })).files.remove('tree', { recursive: true })
  })

  it('ends at a number of levels that memory allows [R-442]', async (t) => {
    const root = new Root(Buffer.from(temporaryFolder(t)))
    t.after(root.use())
    const folder = root.folder([])
    chain(join(readlinkSync(folder.self), 'tree'), 41)
    let steps = 0
    const removing: Removing = {
      signal: new AbortController().signal,
      inPool: (work) => work(),
      working: () => steps++,
    }
    await assert.rejects(emptyDirectory(folder, Buffer.from('tree'), removing, 40), { code: 'ERR_PATH_INVALID' })
    await emptyDirectory(folder, Buffer.from('tree'), removing, 41)
    assert.ok(steps >= 41, `${steps} signs of work`)
    assert.deepEqual(readdirSync(Buffer.concat([folder.self, Buffer.from('/tree')])), [])
    folder.close()
  })

  it('stops where a directory that it let go of was moved, and removes nothing elsewhere [R-443]', async (t) => {
    const { root, files } = await serveFolder(t)
    const [upper, lower] = [join(root, 'tree', 'u/'.repeat(20)), 'l/'.repeat(20)]
    mkdirSync(join(upper, lower), { recursive: true })
    const count = 5000
    for (let file = 0; file < count; file++) writeFileSync(join(upper, lower, `f${file}`), '')
    mkdirSync(join(root, 'elsewhere'))
    writeFileSync(join(root, 'elsewhere/precious'), '')
    const removing = files.remove('tree', { recursive: true })
    removing.catch(() => undefined)
    while (readdirSync(join(upper, lower)).length === count) await immediate()
    renameSync(join(upper, 'l'), join(root, 'elsewhere/l'))
    await fails(removing, 'ERR_FILE_CHANGED')
    assert.deepEqual(readdirSync(join(root, 'elsewhere')).sort(), ['l', 'precious'])
    assert.deepEqual(
      descriptorsIn(root).filter((path) => path !== root),
      [],
    )
  })
})
