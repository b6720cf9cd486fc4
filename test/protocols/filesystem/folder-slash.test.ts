/**
 * A slash at the end of a path says that a directory is meant, and no call of the client forgets
 * it.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import { clientPath } from '../../../protocols/filesystem/path.ts'
import { collect, fails, serveFolder, toArray } from './served.ts'

const data = Buffer.from('written')

/** Every call of the client with a path, and what it does with one that names a directory. */
const CALLS: Readonly<Record<string, (files: FilesystemClient, path: string) => Promise<unknown>>> = {
  stat: (files, path) => files.stat(path),
  list: (files, path) => toArray(files.list(path)),
  read: (files, path) => collect(files.read(path)),
  'read of a range': (files, path) => collect(files.read(path, { offset: 1, length: 1 })),
  readSmall: (files, path) => files.readSmall(path),
  sha256: (files, path) => files.sha256(path),
  write: (files, path) => files.write(path, data),
  'write of a small file': (files, path) => files.write(path, data, { durable: false }),
  append: (files, path) => files.write(path, data, { append: true }),
  remove: (files, path) => files.remove(path),
  'remove of a tree': (files, path) => files.remove(path, { recursive: true }),
  'rename from': (files, path) => files.rename(path, 'elsewhere'),
  'rename to': (files, path) => files.rename('plain', path, { replace: true }),
  setAttributes: (files, path) => files.setAttributes(path, { mode: 0o700 }),
}
const FOR_DIRECTORIES = new Set(['stat', 'list', 'remove', 'remove of a tree', 'rename from', 'setAttributes'])

async function served(t: TestContext): Promise<{ root: string; files: FilesystemClient }> {
  const { root, files } = await serveFolder(t)
  writeFileSync(join(root, 'file'), 'file')
  writeFileSync(join(root, 'plain'), 'plain')
  symlinkSync('file', join(root, 'link'))
  return { root, files }
}

describe('a path that ends with a slash', () => {
  for (const [title, call] of Object.entries(CALLS)) {
    it(`names no file, no link and nothing new in ${title}, which then changes nothing [R-430]`, async (t) => {
      const { root, files } = await served(t)
      await fails(call(files, 'file/'), 'ERR_NOT_DIRECTORY')
      if (title !== 'rename to') await fails(call(files, 'link/'), 'ERR_SYMLINK')
      const makes = ['write', 'write of a small file', 'append', 'rename to'].includes(title)
      await fails(call(files, 'new/'), makes ? 'ERR_NOT_DIRECTORY' : 'ERR_NOT_FOUND')
      assert.deepEqual(readdirSync(root).sort(), ['file', 'link', 'plain'])
      assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'file')
    })

    it(`names a directory in ${title}`, async (t) => {
      const { root, files } = await served(t)
      mkdirSync(join(root, 'folder'))
      if (FOR_DIRECTORIES.has(title)) await call(files, 'folder/')
      else await fails(call(files, 'folder/'), title === 'rename to' ? 'ERR_NOT_DIRECTORY' : 'ERR_IS_DIRECTORY')
    })
  }

  it('is what a directory is made and renamed as', async (t) => {
    const { root, files } = await served(t)
    await files.mkdir('made/')
    await files.mkdir('deep/er/', { recursive: true })
    await files.rename('made/', 'named/')
    await files.rename('deep', 'deeper/')
    assert.deepEqual(readdirSync(root).sort(), ['deeper', 'file', 'link', 'named', 'plain'])
  })

  it('travels without it, and has one slash', () => {
    const bytes = Buffer.from('a/b')
    for (const path of ['a/b/', '/a/b/'])
      assert.deepEqual(clientPath(path), { bytes: new Uint8Array(bytes), saysFolder: true })
    assert.equal(clientPath('/').saysFolder, false)
    for (const path of ['//', 'a//', 'a/b//', './', '../']) {
      assert.throws(() => clientPath(path), { code: 'ERR_PATH_INVALID' }, path)
    }
  })
})
