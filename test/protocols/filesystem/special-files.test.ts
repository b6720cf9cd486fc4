/**
 * FIFOs, sockets and devices: shown, moved away from, removed, and never opened. The kernel says
 * what was opened.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import { OPENED, watchFolders } from '../../helpers/folder-watch.ts'
import { collect, fails, serveFolder, toArray } from './served.ts'

const data = Buffer.from('written')

/** Every operation that would have to open `path`, or to put something else in its place. */
function everything(files: FilesystemClient, path: string): (() => Promise<unknown>)[] {
  return [
    () => collect(files.read(path)),
    () => collect(files.read(path, { offset: 1, length: 1 })),
    () => files.sha256(path),
    () => files.write(path, data),
    () => files.write(path, data, { append: true }),
    () => files.write(path, data, { offset: 1 }),
    () => files.setAttributes(path, { mode: 0o700, modifiedMs: 1000 }),
    () => files.rename(path, 'elsewhere', { replace: true }),
    () => files.rename('plain', path, { replace: true }),
  ]
}

describe('a FIFO, a socket and a device', () => {
  it(
    'are refused, shown and removed without being opened [R-271]',
    { skip: process.platform !== 'linux' && 'the kernel that tells is Linux' },
    async (t) => {
      const { root, files } = await serveFolder(t)
      const folders = [root, join(root, 'tree')] as const
      mkdirSync(folders[1])
      const special = ['fifo', 'socket']
      for (const folder of folders) {
        execFileSync('mkfifo', [join(folder, 'fifo')])
        const server = createServer().listen(join(folder, 'socket'))
        await once(server, 'listening')
        t.after(() => server.close())
        if (process.getuid?.() === 0) execFileSync('mknod', [join(folder, 'device'), 'c', '1', '3'])
        writeFileSync(join(folder, 'plain'), 'plain')
      }
      if (process.getuid?.() === 0) special.push('device')
      const watch = await watchFolders(t, folders)
      for (const name of special) {
        assert.equal((await files.stat(name)).type, 'other')
        for (const operation of everything(files, name)) await fails(operation(), 'ERR_NOT_REGULAR')
        await fails(files.write(name, data, { exclusive: true }), 'ERR_NOT_REGULAR')
        await fails(files.write(name, data, { append: true, exclusive: true }), 'ERR_EXISTS')
        await fails(toArray(files.list(name)), 'ERR_NOT_DIRECTORY')
        await fails(files.mkdir(name), 'ERR_EXISTS')
        await fails(files.mkdir(`${name}/below`, { recursive: true }), 'ERR_NOT_DIRECTORY')
      }
      for (const folder of ['', 'tree']) {
        const others = (await toArray(files.list(folder))).filter(({ type }) => type === 'other')
        assert.deepEqual(others.map(({ name }) => name).sort(), special.toSorted())
      }
      for (const name of special) await files.remove(name)
      // what is opened does show
      assert.equal(String(await collect(files.read('plain'))), 'plain')
      assert.equal(String(await collect(files.read('tree/plain'))), 'plain')
      await files.remove('tree', { recursive: true })
      const events = await watch.stop()
      const opened = new Set(events.filter(({ mask }) => (mask & OPENED) !== 0).map(({ name }) => name))
      assert.deepEqual([...opened].sort(), ['', 'plain', 'tree'])
    },
  )
})
