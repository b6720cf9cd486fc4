/**
 * `cp -r` of many small files: they share pipes, each has its own outcome, and a peer that knows no
 * such pipes gets one for each file.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesystem } from '../../protocols/filesystem.ts'
import { run } from '../../src/cli/run.ts'
import { serve, TrunkError, type ProtocolDefinition } from '../../src/index.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { pattern } from '../helpers/protocols.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const FILES = 300
const FOLDERS = 3
/** Of all sizes: none, small, the largest small one, and larger. */
const SIZES = [0, 1, 3000, 32 * 1024, 32 * 1024 + 1] as const
const MODIFIED = new Date('2001-02-03T04:05:06.5Z')

const nameOf = (index: number): string => `folder-${index % FOLDERS}/file-${index}`
const contentOf = (index: number): Buffer => Buffer.from(pattern(SIZES[index % SIZES.length] ?? 0, index))

function makeTree(folder: string): void {
  for (let index = 0; index < FOLDERS; index++) mkdirSync(join(folder, `folder-${index}`), { recursive: true })
  for (let index = 0; index < FILES; index++) {
    writeFileSync(join(folder, nameOf(index)), contentOf(index), { mode: index % 2 === 0 ? 0o640 : 0o600 })
    utimesSync(join(folder, nameOf(index)), MODIFIED, MODIFIED)
  }
}

/** Every file but `left` is there as it was made, and nothing else. */
function assertTree(folder: string, left: readonly number[] = []): void {
  for (let index = 0; index < FILES; index++) {
    if (left.includes(index)) continue
    const path = join(folder, nameOf(index))
    assert.ok(readFileSync(path).equals(contentOf(index)), path)
    const { mode, mtimeMs } = statSync(path)
    assert.deepEqual([mode & 0o7777, mtimeMs], [index % 2 === 0 ? 0o640 : 0o600, MODIFIED.getTime()], path)
  }
  assert.equal(readdirSync(folder, { recursive: true }).length, FILES + FOLDERS)
}

/**
 * A served folder; `ops` counts what is asked for. With `older` it refuses what came later, as an
 * older peer does.
 */
async function served(t: TestContext, older = false) {
  const root = temporaryFolder()
  const real = filesystem({ root }) as unknown as ProtocolDefinition<{ op: string }>
  const ops = new Map<string, number>()
  const counting: ProtocolDefinition<{ op: string }> = {
    ...real,
    parse(params) {
      const request = real.parse(params)
      if (older && request.op.endsWith('Many')) throw new TrunkError('ERR_PARAMS_INVALID', 'the message has a bad op')
      ops.set(request.op, (ops.get(request.op) ?? 0) + 1)
      return request
    },
  }
  const server = await serve('tcp://127.0.0.1:0', { protocols: [counting] })
  t.after(() => server.close())
  const { context, stderr } = capturedContext()
  const copy = async (from: string, to: string): Promise<number> =>
    await run(['cp', '-r', '--to', server.address, from, to], context)
  return { root, ops, copy, said: stderr }
}

describe('cp -r of many small files', () => {
  for (const older of [false, true]) {
    it(`copies them there and back with modes and times, ${older ? 'a pipe each' : 'many to a pipe'} [R-339]`, async (t) => {
      const { root, ops, copy, said } = await served(t, older)
      const here = temporaryFolder()
      makeTree(join(here, 'tree'))
      assert.equal(await copy(join(here, 'tree'), ':'), 0, said())
      assertTree(join(root, 'tree'))
      assert.equal(await copy(':tree', join(here, 'back')), 0, said())
      assertTree(join(here, 'back'))
      const single = [ops.get('write') ?? 0, ops.get('read') ?? 0]
      // the larger ones go alone, and some for which there was no company
      if (older) assert.deepEqual(single, [FILES, FILES])
      else assert.ok(single[0]! < FILES / 2 && single[1]! < FILES / 2, single.join())
    })
  }

  it('says which could not be copied, in one line each, and copies the others [R-339]', async (t) => {
    const { root, copy, said } = await served(t)
    const here = temporaryFolder()
    makeTree(join(here, 'tree'))
    const taken = [6, 7]
    for (const index of taken) mkdirSync(join(root, 'tree', nameOf(index)), { recursive: true })
    assert.equal(await copy(join(here, 'tree'), ':'), 1)
    assertTree(join(root, 'tree'), taken)
    const lines = said().trimEnd().split('\n').sort()
    assert.deepEqual(
      lines,
      taken.map((index) => `trunkline: ERR_IS_DIRECTORY: :tree/${nameOf(index)}: it is a directory`).sort(),
    )
    // the other way round, onto a folder and onto a link, which is replaced and not followed
    const target = join(here, 'target')
    mkdirSync(join(target, nameOf(11)), { recursive: true })
    mkdirSync(join(target, 'folder-0'))
    writeFileSync(join(here, 'outside'), 'untouched')
    symlinkSync(join(here, 'outside'), join(target, nameOf(12)))
    assert.equal(await copy(':tree/.', target), 1)
    assert.match(said().split('\n')[2] ?? '', /^trunkline: \w+: .*folder-2\/file-11: [^\n]+$/)
    assert.ok(readFileSync(join(target, nameOf(12))).equals(contentOf(12)))
    assert.equal(readFileSync(join(here, 'outside'), 'utf8'), 'untouched')
  })
})
