/** `cp -r`: what is in the way, what cannot be copied, and a tree into itself. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serving, trunkline } from '../helpers/command-line.ts'
import type { Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
const here = temporaryFolder()
const tree = join(here, 'tree')
const MODIFIED = new Date('2001-02-03T04:05:06Z')
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
  mkdirSync(join(tree, 'deep/er/and/deeper'), { recursive: true })
  mkdirSync(join(tree, 'empty'))
  for (let i = 0; i < 200; i += 1) writeFileSync(join(tree, `deep/file-${i}`), `${i}\n`.repeat(i * 20))
  writeFileSync(join(tree, 'deep/er/and/deeper/last'), 'last')
  writeFileSync(join(tree, 'large'), Buffer.alloc(3_000_000, 'large'))
  chmodSync(join(tree, 'deep/file-7'), 0o600)
  chmodSync(join(tree, 'empty'), 0o500)
  for (const path of ['deep/er', 'empty', 'deep/file-7']) utimesSync(join(tree, path), MODIFIED, MODIFIED)
})
after(() => server.stop())

const copy = (...args: string[]): ReturnType<typeof trunkline> =>
  trunkline(['cp', '-r', ...args], { to: server.address })

describe('cp -r', () => {
  it('copies into an existing directory, or only what is in one', async () => {
    mkdirSync(join(root, 'existing'))
    assert.equal((await copy(join(tree, 'deep/er'), ':existing')).status, 0)
    assert.deepEqual(readdirSync(join(root, 'existing')), ['er'])
    assert.equal((await copy(`${join(tree, 'deep/er')}/.`, ':existing')).status, 0)
    assert.deepEqual(readdirSync(join(root, 'existing')).sort(), ['and', 'er'])
    mkdirSync(join(here, 'existing'))
    assert.equal((await copy(':existing', join(here, 'existing'))).status, 0)
    assert.deepEqual(readdirSync(join(here, 'existing')), ['existing'])
  })

  it('copies what it can: a line for each link or special file, and exit 1', async () => {
    const mixed = join(here, 'mixed')
    mkdirSync(mixed)
    writeFileSync(join(mixed, 'file'), 'file')
    symlinkSync('/etc/passwd', join(mixed, 'link'))
    execFileSync('mkfifo', [join(mixed, 'fifo')])
    const there = await copy(mixed, ':mixed')
    assert.equal(there.status, 1)
    assert.deepEqual(there.stderr.trimEnd().split('\n').sort(), [
      `trunkline: ERR_NOT_REGULAR: ${mixed}/fifo: neither a file nor a directory, not copied`,
      `trunkline: ERR_NOT_REGULAR: ${mixed}/link: symbolic links are not copied`,
    ])
    assert.deepEqual(readdirSync(join(root, 'mixed')), ['file'])
    symlinkSync('/etc/passwd', join(root, 'mixed/link'))
    const back = await copy(':mixed', join(here, 'mixed-back'))
    assert.equal(back.stderr, 'trunkline: ERR_NOT_REGULAR: :mixed/link: symbolic links are not copied\n')
    assert.equal(back.status, 1)
    assert.deepEqual(readdirSync(join(here, 'mixed-back')), ['file'])
  })

  it('writes through no link that is in the way here', async () => {
    const outside = join(here, 'outside')
    const target = join(here, 'target')
    mkdirSync(outside)
    mkdirSync(join(target, 'copy'), { recursive: true })
    symlinkSync(outside, join(target, 'copy/deep'))
    assert.equal((await copy(tree, ':copy')).status, 0)
    const { status, stderr } = await copy(':copy', target)
    assert.match(stderr, /^trunkline: ERR_NOT_DIRECTORY: .*\/copy\/deep: [^\n]+\n$/)
    assert.equal(status, 1)
    assert.deepEqual(readdirSync(outside), [])
    assert.ok(existsSync(join(target, 'copy/large')))
  })

  it('ends at the first refusal of a read-only peer, exit 4', async () => {
    const readOnly = await serving(['--fs', `${root}:ro`])
    const { status, stderr } = await trunkline(['cp', '-r', tree, ':new'], { to: readOnly.address })
    await readOnly.stop()
    assert.match(stderr, /^trunkline: ERR_READ_ONLY: [^\n]+\n$/)
    assert.equal(status, 4)
  })
})

describe('[R-428] cp -r into a folder of its own source, where both ends share the tree', () => {
  const shared = temporaryFolder()
  const project = join(shared, 'proj')
  let server: Serving
  before(async () => {
    server = await serving(['--fs', shared])
    mkdirSync(join(project, 'sub/copy'), { recursive: true })
    writeFileSync(join(project, 'file'), 'content')
    writeFileSync(join(project, 'sub/copy/other'), 'another one of that name')
  })
  after(() => server.stop())

  for (const [name, from, to, target] of [
    ['down', ':/proj', join(project, 'copy'), 'copy'],
    ['down, from the root that is served', ':/', join(project, 'all'), 'all'],
    ['up', project, ':/proj/sub/up', 'sub/up'],
  ] as const) {
    it(`${name}: copies all but the target, says so on one line, and leaves nothing`, async () => {
      const { status, stderr } = await trunkline(['cp', '-r', from, to], { to: server.address })
      const lines = stderr.trim().split('\n')
      assert.deepEqual([status, lines.length], [1, 1], stderr)
      assert.match(stderr, /ERR_PATH_INVALID: [^\n]*it is what is copied to/)
      assert.ok(lines[0]?.includes(target))
      const all = readdirSync(shared, { recursive: true, encoding: 'utf8' })
      assert.deepEqual(
        all.filter((path) => path.includes('.probe')),
        [],
      )
      const top = from === ':/' ? join(project, target, 'proj') : join(project, target)
      assert.equal(readFileSync(join(top, 'file'), 'utf8'), 'content')
      assert.equal(readFileSync(join(top, 'sub/copy/other'), 'utf8'), 'another one of that name')
      assert.ok(!existsSync(join(top, target)))
      rmSync(join(project, target), { recursive: true })
    })
  }

  it('up, to the root that is served: does so, too', async () => {
    const served = temporaryFolder()
    mkdirSync(join(served, 'a/root'), { recursive: true })
    writeFileSync(join(served, 'a/file'), 'content')
    const inner = await serving(['--fs', join(served, 'a/root')])
    const { status, stderr } = await trunkline(['cp', '-r', `${served}/a/.`, ':/'], { to: inner.address })
    await inner.stop()
    assert.deepEqual([status, stderr.trim().split('\n').length], [1, 1], stderr)
    assert.deepEqual(readdirSync(join(served, 'a/root')), ['file'])
  })
})
