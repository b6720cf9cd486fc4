import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { toFailure } from '../../../src/runtime/file-errors.ts'
import { errnoOf } from '../../../src/runtime/system-errors.ts'
import { ERROR_CODES } from '../../../src/contracts/errors.ts'
import { TrunkError } from '../../../src/index.ts'
import { collect, descriptorsIn, fails, serveFolder, toArray, type Served } from './served.ts'

const MIB = 1024 * 1024
const isRoot = process.getuid?.() === 0

/** Serves a folder in which `small` is a file system of its own, of 1 MiB. */
async function withSmallDisk(t: TestContext): Promise<Served> {
  const root = mkdtempSync(join(tmpdir(), 'trunkline-fs-'))
  const small = join(root, 'small')
  mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small])
  t.after(() => {
    execFileSync('umount', ['--lazy', small])
    rmSync(root, { recursive: true })
  })
  return await serveFolder(t, { root })
}

/** Why a real small disk cannot be had here; false where it can. */
function whyNoMount(): string | false {
  if (!isRoot) return 'mounting a small disk needs root'
  const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt'])
  return tried.status === 0 ? false : 'this machine does not let us mount a small disk'
}

async function* portions(bytes: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < bytes; sent += 65_536) yield Buffer.alloc(65_536, 1)
}

describe('a disk of its own', { skip: whyNoMount() }, () => {
  it('that is full: one code, the target as it was, nothing half-written, and room again [R-094]', async (t) => {
    const { root, files } = await withSmallDisk(t)
    await files.write('small/file', Buffer.from('before'))
    await fails(files.write('small/file', portions(3 * MIB)), 'ERR_NO_SPACE')
    await fails(files.write('small/file', Buffer.alloc(3 * MIB)), 'ERR_NO_SPACE')
    await fails(files.write('small/new', portions(3 * MIB)), 'ERR_NO_SPACE')
    assert.deepEqual(readdirSync(join(root, 'small')), ['file'])
    assert.equal(readFileSync(join(root, 'small/file'), 'utf8'), 'before')
    await files.write('small/file', Buffer.alloc(MIB / 2))
    await fails(files.write('small/file', portions(3 * MIB), { append: true }), 'ERR_NO_SPACE')
    assert.deepEqual(
      descriptorsIn(root).filter((path) => path !== root),
      [],
    )
  })

  it('is another device: nothing is renamed across, and its root is busy', async (t) => {
    const { root, files } = await withSmallDisk(t)
    await files.write('file', Buffer.from('x'))
    await fails(files.rename('file', 'small/file'), 'ERR_CROSS_DEVICE')
    await fails(files.remove('small'), 'ERR_BUSY')
    assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'x')
  })

  it('that is mounted for reading takes no changes', async (t) => {
    const { root, files } = await withSmallDisk(t)
    writeFileSync(join(root, 'small/file'), 'x')
    execFileSync('mount', ['-o', 'remount,ro', join(root, 'small')])
    await fails(files.write('small/file', Buffer.of(1)), 'ERR_READ_ONLY')
    await fails(files.write('small/file', Buffer.of(1), { append: true }), 'ERR_READ_ONLY')
    await fails(files.mkdir('small/folder'), 'ERR_READ_ONLY')
    await fails(files.remove('small/file'), 'ERR_READ_ONLY')
    await fails(files.setAttributes('small/file', { mode: 0o600 }), 'ERR_READ_ONLY')
    assert.equal((await collect(files.read('small/file'))).toString(), 'x')
  })
})

describe('what the system refuses', () => {
  const limited = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize']).status === 0

  it(
    'above the process’s file size is one code and leaves nothing [R-094]',
    { skip: !limited && 'no prlimit here' },
    async (t) => {
      const { root, files } = await serveFolder(t)
      writeFileSync(join(root, 'file'), 'before')
      const setLimit = (bytes: string): void => {
        execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`])
      }
      setLimit(String(MIB))
      try {
        await fails(files.write('file', portions(3 * MIB)), 'ERR_FILE_TOO_LARGE')
        await fails(files.write('file', Buffer.of(1), { offset: 2 * MIB }), 'ERR_FILE_TOO_LARGE')
      } finally {
        setLimit('unlimited')
      }
      assert.equal(readFileSync(join(root, 'file'), 'utf8'), 'before')
      assert.deepEqual(readdirSync(root), ['file'])
    },
  )

  it('for want of permission is one code and changes nothing [R-094]', async (t) => {
    const { root, files } = await serveFolder(t)
    mkdirSync(join(root, 'locked'))
    writeFileSync(join(root, 'locked/file'), 'before')
    await files.stat('locked/file')
    chmodSync(join(root, 'locked'), 0)
    chmodSync(root, 0o755)
    await asNobody(async () => {
      await fails(collect(files.read('locked/file')), 'ERR_ACCESS')
      await fails(files.write('locked/file', Buffer.of(1)), 'ERR_ACCESS')
      await fails(toArray(files.list('locked')), 'ERR_ACCESS')
      await fails(files.remove('locked', { recursive: true }), 'ERR_ACCESS')
    })
    chmodSync(join(root, 'locked'), 0o755)
    assert.equal(readFileSync(join(root, 'locked/file'), 'utf8'), 'before')
  })
})

describe('a system error', () => {
  it('becomes its code, with a sentence of ours and the original as cause [R-099]', () => {
    const codes: Record<string, string> = {
      ENOENT: 'ERR_NOT_FOUND',
      EEXIST: 'ERR_EXISTS',
      ENOTDIR: 'ERR_NOT_DIRECTORY',
      EISDIR: 'ERR_IS_DIRECTORY',
      ENOTEMPTY: 'ERR_NOT_EMPTY',
      EACCES: 'ERR_ACCESS',
      EPERM: 'ERR_ACCESS',
      EROFS: 'ERR_READ_ONLY',
      ENOSPC: 'ERR_NO_SPACE',
      EDQUOT: 'ERR_QUOTA',
      EIO: 'ERR_IO',
      ELOOP: 'ERR_SYMLINK',
      EFBIG: 'ERR_FILE_TOO_LARGE',
      EXDEV: 'ERR_CROSS_DEVICE',
      EMFILE: 'ERR_HANDLE_LIMIT',
      ENFILE: 'ERR_HANDLE_LIMIT',
      EBUSY: 'ERR_BUSY',
      EWHATEVER: 'ERR_IO',
    }
    for (const [errno, code] of Object.entries(codes)) {
      const original = Object.assign(new Error(`${errno}: no, open '/home/secret/file'`), { code: errno })
      const failure = toFailure(original)
      assert.equal(failure.code, code, errno)
      assert.ok(Object.hasOwn(ERROR_CODES, failure.code))
      assert.equal(failure.cause, original)
      assert.doesNotMatch(failure.message, /\//)
    }
    assert.equal(toFailure('text').code, 'ERR_IO')
    assert.equal(errnoOf({ code: 'ENOENT' }), undefined)
    const known = new TrunkError('ERR_BUSY', 'x')
    assert.equal(toFailure(known), known)
  })
})

/** Runs `body` as a user without rights; root would be let in everywhere. */
async function asNobody(body: () => Promise<void>): Promise<void> {
  if (isRoot) process.seteuid?.(65_534)
  try {
    await body()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}
