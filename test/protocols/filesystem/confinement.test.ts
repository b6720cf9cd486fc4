import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { TrunkError } from '../../../src/index.ts'
import { fileProtocol } from '../../../protocols/filesystem/server.ts'
import { Root } from '../../../protocols/filesystem/root.ts'
import { Serving } from '../../../protocols/filesystem/serving.ts'
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import { hostilePaths } from './hostile-paths.ts'
import { collect, fails, serveFolder, serveProtocol, temporaryFolder, toArray, type Served } from './served.ts'

const data = new TextEncoder().encode('written')

/** Every operation on `path`, each by its name. */
function everything(files: FilesystemClient, path: string): Record<string, () => Promise<unknown>> {
  return { ...looking(files, path), ...changing(files, path) }
}

function looking(files: FilesystemClient, path: string): Record<string, () => Promise<unknown>> {
  return {
    list: () => toArray(files.list(path)),
    read: () => collect(files.read(path)),
    sha256: () => files.sha256(path),
    readSmall: () => files.readSmall(path),
    // two that are asked for at once share a pipe
    readMany: () => Promise.all([files.readSmall(path), files.readSmall(path)]),
  }
}

function changing(files: FilesystemClient, path: string): Record<string, () => Promise<unknown>> {
  return {
    write: () => files.write(path, data),
    append: () => files.write(path, data, { append: true }),
    update: () => files.write(path, data, { offset: 1 }),
    writeMany: () => Promise.all([path, path].map((one) => files.write(one, data, { durable: false }))),
    setAttributes: () => files.setAttributes(path, { mode: 0o700, modifiedMs: 1000 }),
    renameFrom: () => files.rename(path, 'elsewhere', { replace: true }),
    renameTo: () => files.rename('plain', path, { replace: true }),
  }
}

/** A root with links of every kind out of it, beside a folder that nobody may touch. */
async function withLinks(t: TestContext, serve: (root: string) => Promise<Omit<Served, 'root'>>) {
  const base = temporaryFolder(t)
  const root = join(base, 'root')
  const outside = join(base, 'outside')
  mkdirSync(root)
  mkdirSync(join(outside, 'sub'), { recursive: true })
  writeFileSync(join(outside, 'secret'), 'secret')
  writeFileSync(join(root, 'plain'), 'plain')
  symlinkSync(outside, join(root, 'folder-link'))
  symlinkSync('../outside', join(root, 'relative-link'))
  symlinkSync(join(outside, 'secret'), join(root, 'file-link'))
  symlinkSync(join(outside, 'new'), join(root, 'dangling-link'))
  symlinkSync('plain', join(root, 'inner-link'))
  symlinkSync('/proc/self/root', join(root, 'magic-link'))
  const untouched = (): void => {
    assert.deepEqual(readdirSync(outside).sort(), ['secret', 'sub'])
    assert.deepEqual(readdirSync(join(outside, 'sub')), [])
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret')
    assert.equal(readFileSync(join(root, 'plain'), 'utf8'), 'plain')
  }
  return { root, untouched, ...(await serve(root)) }
}

const WAYS = [
  { title: 'walking with descriptors', walks: true },
  { title: 'checking names one by one', walks: false },
]

for (const { title, walks } of WAYS) {
  describe(`links below the root, ${title}`, () => {
    const options = { readOnly: false, maxHandles: 64, maxFileBytes: 2 ** 40, allowHardLinkWrites: false }
    const linked = (t: TestContext) =>
      withLinks(t, (root) => serveProtocol(t, fileProtocol(new Serving(new Root(Buffer.from(root), walks), options))))

    it('are refused as the last name, by every operation that would follow them [R-082]', async (t) => {
      const { files, untouched } = await linked(t)
      for (const link of ['folder-link', 'relative-link', 'file-link', 'inner-link', 'magic-link']) {
        for (const operation of Object.values(everything(files, link))) await fails(operation(), 'ERR_SYMLINK')
        await fails(files.mkdir(link), 'ERR_EXISTS')
        await fails(files.mkdir(link, { recursive: true }), 'ERR_SYMLINK')
      }
      untouched()
    })

    it('are refused as a name in the middle, by every operation [R-082]', async (t) => {
      const { files, untouched } = await linked(t)
      for (const path of ['folder-link/secret', 'relative-link/sub', 'folder-link/sub/new', 'magic-link/tmp']) {
        for (const operation of Object.values(everything(files, path))) await fails(operation(), 'ERR_SYMLINK')
        await fails(files.stat(path), 'ERR_SYMLINK')
        await fails(files.mkdir(path), 'ERR_SYMLINK')
        await fails(files.mkdir(path, { recursive: true }), 'ERR_SYMLINK')
        await fails(files.remove(path), 'ERR_SYMLINK')
        await fails(files.remove(path, { recursive: true }), 'ERR_SYMLINK')
      }
      untouched()
    })

    it('are shown as links, and removed as links [R-082]', async (t) => {
      const { root, files, untouched } = await linked(t)
      assert.equal((await files.stat('file-link')).type, 'symlink')
      const listed = await toArray(files.list(''))
      assert.equal(listed.find((entry) => entry.name === 'folder-link')?.type, 'symlink')
      await files.remove('file-link')
      await files.remove('folder-link', { recursive: true })
      assert.equal(existsSync(join(root, 'folder-link')), false)
      untouched()
    })

    it('are not written through when they point nowhere [R-084]', async (t) => {
      const { files, untouched } = await linked(t)
      for (const options of [{}, { append: true }, { offset: 0 }]) {
        await fails(files.write('dangling-link', data, options), 'ERR_SYMLINK')
      }
      const atOnce = ['dangling-link', 'dangling-link'].map((path) => files.write(path, data, { durable: false }))
      for (const write of atOnce) await fails(write, 'ERR_SYMLINK')
      const exclusive = await files.write('dangling-link', data, { exclusive: true }).catch((error: unknown) => error)
      assert.ok(exclusive instanceof TrunkError)
      untouched()
    })

    it('do not lead a recursive removal out of the root [R-082]', async (t) => {
      const { root, files, untouched } = await linked(t)
      mkdirSync(join(root, 'tree/deep'), { recursive: true })
      symlinkSync(join(root, '../outside'), join(root, 'tree/deep/link'))
      writeFileSync(join(root, 'tree/deep/file'), 'x')
      await files.remove('tree', { recursive: true })
      assert.equal(existsSync(join(root, 'tree')), false)
      untouched()
    })

    it('cannot be made by a peer, nor written beneath [R-088]', async (t) => {
      const { near, files, untouched } = await linked(t)
      for (const op of ['symlink', 'link', 'mknod', 'chown']) {
        await fails(near.open('filesystem', { op, path: data, target: 'x' }), 'ERR_PARAMS_INVALID')
      }
      await fails(files.write('folder-link/planted', data), 'ERR_SYMLINK')
      await fails(files.mkdir('folder-link/a/b', { recursive: true }), 'ERR_SYMLINK')
      untouched()
    })
  })
}

describe('the server', () => {
  it('refuses hostile paths that a client did not check [R-081]', async (t) => {
    const { near } = await serveFolder(t)
    for (const path of hostilePaths.filter((bytes) => bytes.byteLength < 3000)) {
      await fails(near.open('filesystem', { op: 'stat', path }), 'ERR_PATH_INVALID')
      await fails(near.open('filesystem', { op: 'rename', path: data, to: path }), 'ERR_PATH_INVALID')
    }
  })

  it('opens neither FIFO nor socket nor device, and shows them as other', async (t) => {
    const { root, files } = await serveFolder(t)
    execFileSync('mkfifo', [join(root, 'fifo')])
    const server = createServer().listen(join(root, 'socket'))
    await new Promise((resolve) => server.once('listening', resolve))
    t.after(() => server.close())
    writeFileSync(join(root, 'plain'), '')
    for (const path of ['fifo', 'socket']) {
      assert.equal((await files.stat(path)).type, 'other')
      const { list, ...rest } = everything(files, path)
      // opening a FIFO would wait for its other end: that these end at all is the point
      for (const operation of Object.values(rest)) await fails(operation(), 'ERR_NOT_REGULAR')
      await fails(list!(), 'ERR_NOT_DIRECTORY')
    }
    await files.remove('fifo')
  })

  it('opens no device node', { skip: process.getuid?.() !== 0 && 'making a device node needs root' }, async (t) => {
    const { root, files } = await serveFolder(t)
    execFileSync('mknod', [join(root, 'null'), 'c', '1', '3'])
    writeFileSync(join(root, 'plain'), '')
    for (const [name, operation] of Object.entries(everything(files, 'null'))) {
      await fails(operation(), name === 'list' ? 'ERR_NOT_DIRECTORY' : 'ERR_NOT_REGULAR')
    }
  })

  it('changes a file with several names by replacing its own name only, unless it is allowed [R-086]', async (t) => {
    const base = temporaryFolder(t)
    const root = join(base, 'root')
    mkdirSync(root)
    writeFileSync(join(base, 'other-name'), 'original')
    linkSync(join(base, 'other-name'), join(root, 'file'))
    const { files } = await serveFolder(t, { root })
    await fails(files.write('file', data, { append: true }), 'ERR_DENIED')
    await fails(files.write('file', data, { offset: 0 }), 'ERR_DENIED')
    await fails(files.setAttributes('file', { mode: 0o777 }), 'ERR_DENIED')
    assert.equal((await collect(files.read('file'))).toString(), 'original')
    assert.equal((await files.stat('file')).links, 2)
    const trusting = await serveFolder(t, { root, allowHardLinkWrites: true })
    await trusting.files.write('file', data, { append: true })
    assert.equal(readFileSync(join(base, 'other-name'), 'utf8'), 'originalwritten')
    await files.write('file', data)
    assert.equal(readFileSync(join(base, 'other-name'), 'utf8'), 'originalwritten')
    assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'written')
  })

  it('never sets setuid, setgid, sticky or an owner [R-097]', async (t) => {
    const { root, near, files } = await serveFolder(t)
    const modeOf = (name: string): number => statSync(join(root, name)).mode & 0o7777
    await files.write('file', data, { mode: 0o7777 })
    assert.equal(modeOf('file'), 0o777)
    await files.write('added', data, { mode: 0o6755, append: true })
    assert.equal(modeOf('added'), 0o755)
    await files.mkdir('folder', { mode: 0o7777 })
    assert.equal(modeOf('folder'), 0o777)
    await files.setAttributes('file', { mode: 0o4711 })
    assert.equal(modeOf('file'), 0o711)
    chmodSync(join(root, 'folder'), 0o1777)
    await files.setAttributes('folder', { mode: 0o700 })
    assert.equal(modeOf('folder'), 0o1700, 'the sticky bit is the administrator’s')
    await fails(near.open('filesystem', { op: 'setAttributes', path: data, uid: 0 }), 'ERR_PARAMS_INVALID')
  })

  it('takes setuid from a program that a peer changes in place [R-097]', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'program'), 'x')
    for (const options of [{ append: true }, { offset: 0 }]) {
      chmodSync(join(root, 'program'), 0o6755)
      await files.write('program', data, options)
      assert.equal(statSync(join(root, 'program')).mode & 0o7777, 0o755)
    }
    chmodSync(join(root, 'program'), 0o4755)
    await files.write('program', data)
    assert.equal(statSync(join(root, 'program')).mode & 0o7777, 0o755)
  })

  it('refuses every change of a read-only root, whatever the flags [R-098]', async (t) => {
    const root = temporaryFolder(t)
    writeFileSync(join(root, 'plain'), 'plain')
    mkdirSync(join(root, 'folder'))
    const { files } = await serveFolder(t, { root, readOnly: true })
    for (const path of ['plain', 'folder', 'new', 'no/such/folder']) {
      for (const operation of Object.values(changing(files, path))) await fails(operation(), 'ERR_READ_ONLY')
      await fails(files.write(path, data, { exclusive: true }), 'ERR_READ_ONLY')
      await fails(files.mkdir(path, { recursive: true }), 'ERR_READ_ONLY')
      await fails(files.remove(path, { recursive: true }), 'ERR_READ_ONLY')
    }
    assert.equal((await collect(files.read('plain'))).toString(), 'plain')
    assert.deepEqual(readdirSync(root).sort(), ['folder', 'plain'])
  })

  it('does to the root itself what it must, and no more', async (t) => {
    const { files } = await serveFolder(t)
    for (const path of ['', '/']) {
      assert.equal((await files.stat(path)).type, 'directory')
      assert.deepEqual(await toArray(files.list(path)), [])
      await fails(collect(files.read(path)), 'ERR_IS_DIRECTORY')
      await fails(files.write(path, data), 'ERR_DENIED')
      await fails(files.remove(path, { recursive: true }), 'ERR_DENIED')
      await fails(files.rename(path, 'x'), 'ERR_DENIED')
      await fails(files.mkdir(path), 'ERR_EXISTS')
      await files.mkdir(path, { recursive: true })
    }
  })

  it('names no local path in what it tells the peer [R-099]', async (t) => {
    const { root, files, near } = await withLinks(t, async (folder) => await serveFolder(t, { root: folder }))
    const seen: TrunkError[] = []
    const paths = ['nothing', 'plain/x', 'folder-link/x', 'file-link', 'n'.repeat(255), 'plain']
    for (const path of paths) {
      const calls = { ...everything(files, path), mkdir: () => files.mkdir(path), stat: () => files.stat(path) }
      for (const call of Object.values(calls)) await call().catch((error: unknown) => seen.push(error as TrunkError))
    }
    await near.open('filesystem', 'nonsense').catch((error: unknown) => seen.push(error as TrunkError))
    assert.ok(seen.length > 20)
    for (const error of seen) {
      assert.ok(error instanceof TrunkError)
      const told = `${error.message} ${String(error.cause)}`
      assert.ok(!told.includes(root) && !told.includes('/proc') && !told.includes('outside'), told)
    }
  })
})
