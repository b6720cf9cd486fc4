/** `cp -r`: whole trees, both ways, and what cannot be copied. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
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

/** Throws where the two differ in names or content. */
function same(a: string, b: string): void {
  const names = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  assert.deepEqual(names(a), names(b))
  for (const name of names(a)) {
    if (!statSync(join(a, name)).isFile()) continue
    assert.ok(readFileSync(join(a, name)).equals(readFileSync(join(b, name))), name)
  }
  for (const path of ['deep/er', 'empty', 'deep/file-7']) {
    const [left, right] = [statSync(join(a, path)), statSync(join(b, path))]
    assert.deepEqual([left.mode, left.mtimeMs], [right.mode, right.mtimeMs], path)
  }
}

describe('cp -r', () => {
  it('copies a tree there and back with modes and times', async () => {
    const there = await copy(tree, ':copy')
    assert.deepEqual([there.status, there.stderr], [0, ''])
    same(tree, join(root, 'copy'))
    const back = await copy(':copy', join(here, 'back'))
    assert.deepEqual([back.status, back.stderr], [0, ''])
    same(tree, join(here, 'back'))
  })
})
