import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  mkdirSync,
  openSync,
  closeSync,
  ftruncateSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { filesystem, filesystemClient } from '../../../protocols/filesystem.ts'
import { connect, overLink, serve, TrunkError } from '../../../src/index.ts'
import { memoryPair } from '../../../transports/memory.ts'
import { beingWritten } from '../../helpers/being-written.ts'
import { cutAfter } from '../../helpers/cut-link.ts'
import { eventually } from '../../helpers/eventually.ts'
import { collect, descriptorsIn, fails, serveFolder, serveProtocol, temporaryFolder, toArray } from './served.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SIZES = [0, 1, 32 * KIB, 32 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 10 * MIB]
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** `bytes` in portions of an odd size. */
async function* portions(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size)
}

describe('a file', () => {
  for (const size of SIZES) {
    it(`of ${size} bytes arrives whole, both ways`, async (t) => {
      const { root, files } = await serveFolder(t, { root: temporaryFolder(t, tmpdir()) })
      const bytes = randomBytes(size)
      assert.deepEqual(await files.write('whole', bytes), { bytes: size })
      assert.deepEqual(await files.write('portions', portions(bytes, 70_001)), { bytes: size })
      assert.deepEqual(await files.write('list', new Uint8ArrayList(bytes.subarray(0, 9), bytes.subarray(9))), {
        bytes: size,
      })
      for (const name of ['whole', 'portions', 'list']) {
        assert.equal(sha256(readFileSync(join(root, name))), sha256(bytes), name)
        assert.equal(sha256(await collect(files.read(name))), sha256(bytes), name)
        assert.equal(Buffer.from(await files.sha256(name)).toString('hex'), sha256(bytes), name)
      }
      assert.deepEqual(readdirSync(root).sort(), ['list', 'portions', 'whole'])
      assert.deepEqual(descriptorsIn(join(root, 'whole')), [])
    })
  }

  it('crosses a TCP line as it does memory', async (t) => {
    const root = temporaryFolder(t)
    await using server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
    await using trunk = await connect(server.address)
    const files = filesystemClient(trunk)
    const bytes = randomBytes(10 * MIB)
    await Promise.all([files.write('a', bytes), files.write('b', portions(bytes, 99_999))])
    const back = await Promise.all([collect(files.read('a')), collect(files.read('b'))])
    assert.deepEqual(back.map(sha256), [sha256(bytes), sha256(bytes)])
  })

  it('is read in ranges, which its end cuts', async (t) => {
    const { root, files } = await serveFolder(t)
    const bytes = randomBytes(2 * MIB)
    writeFileSync(join(root, 'file'), bytes)
    const ranges = [
      { offset: 0, length: 0 },
      { offset: 5, length: 7 },
      { offset: MIB - 1, length: MIB },
      { offset: 2 * MIB - 1 },
      { offset: 2 * MIB - 3, length: 100 },
      { offset: 3 * MIB },
      { offset: Number.MAX_SAFE_INTEGER, length: Number.MAX_SAFE_INTEGER },
    ]
    for (const range of ranges) {
      const { offset, length = Infinity } = range
      const expected = bytes.subarray(offset, Math.min(bytes.byteLength, offset + length))
      assert.equal(sha256(await collect(files.read('file', range))), sha256(expected), JSON.stringify(range))
      assert.equal(
        Buffer.from(await files.sha256('file', range)).toString('hex'),
        sha256(expected),
        JSON.stringify(range),
      )
    }
  })

  it(
    'that does not know its size is read to its end',
    { skip: process.platform !== 'linux' && 'needs /proc' },
    async (t) => {
      const { files } = await serveFolder(t, { root: '/proc/self' })
      assert.match((await collect(files.read('status'))).toString(), /^Name:/)
      assert.equal((await collect(files.read('status', { length: 5 }))).toString(), 'Name:')
    },
  )

  it('that becomes shorter while it is read is an error, never an end [R-092]', async (t) => {
    const { root, files } = await serveFolder(t)
    sparse(join(root, 'file'), 64 * MIB)
    await fails(
      (async () => {
        for await (const data of files.read('file')) {
          assert.ok(data.byteLength > 0)
          truncateSync(join(root, 'file'), 100)
        }
      })(),
      'ERR_FILE_CHANGED',
    )
  })

  it('that is replaced while it is read is read as it was [R-092]', async (t) => {
    const { root, files } = await serveFolder(t)
    const bytes = randomBytes(24 * MIB)
    writeFileSync(join(root, 'file'), bytes)
    writeFileSync(join(root, 'other'), randomBytes(25 * MIB))
    const hash = createHash('sha256')
    for await (const data of files.read('file')) {
      if (readdirSync(root).includes('other')) renameSync(join(root, 'other'), join(root, 'file'))
      hash.update(data.subarray())
    }
    assert.equal(hash.digest('hex'), sha256(bytes))
  })

  it('is left alone by a reader who has enough, and its descriptor comes back', async (t) => {
    const { root, files, near } = await serveFolder(t)
    sparse(join(root, 'file'), 64 * MIB)
    for await (const data of files.read('file')) {
      assert.ok(data.byteLength > 0)
      break
    }
    await eventually(() => descriptorsIn(join(root, 'file')).length === 0, 'the file is closed')
    assert.equal(near.status().pipes.length, 0)
  })
})

describe('writing', () => {
  it('keeps the permissions of what it replaces, and sets mode and time where asked', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'script'), 'old', { mode: 0o750 })
    await files.write('script', Buffer.from('new'))
    assert.equal(statSync(join(root, 'script')).mode & 0o777, 0o750)
    await files.write('script', Buffer.from('newer'), { mode: 0o604, modifiedMs: 1_234_567_890_123 })
    const { mode, mtimeMs } = statSync(join(root, 'script'))
    assert.deepEqual([mode & 0o777, Math.round(mtimeMs)], [0o604, 1_234_567_890_123])
  })

  it('adds to the end and in the middle, in place', async (t) => {
    const { root, files } = await serveFolder(t)
    const text = (name: string): string => readFileSync(join(root, name), 'utf8')
    await files.write('log', Buffer.from('one '), { append: true })
    await files.write('log', portions(Buffer.from('two three'), 2), { append: true })
    assert.equal(text('log'), 'one two three')
    const { ino } = statSync(join(root, 'log'))
    await files.write('log', Buffer.from('TWO'), { offset: 4 })
    assert.equal(text('log'), 'one TWO three')
    await files.write('log', Buffer.from('!'), { offset: 15 })
    assert.equal(text('log'), 'one TWO three\0\0!')
    assert.equal(statSync(join(root, 'log')).ino, ino)
  })

  it('is exclusive where asked: one of many wins, and the others are told', async (t) => {
    const { root, files } = await serveFolder(t)
    for (const options of [{ exclusive: true }, { exclusive: true, append: true }]) {
      const name = `file-${Object.keys(options).length}`
      const racers = Array.from({ length: 20 }, (_, index) => files.write(name, Buffer.from(`racer ${index}`), options))
      const results = await Promise.allSettled(racers)
      assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
      for (const result of results)
        if (result.status === 'rejected') assert.equal((result.reason as TrunkError).code, 'ERR_EXISTS')
      assert.equal(
        readFileSync(join(root, name), 'utf8'),
        `racer ${results.findIndex((result) => result.status === 'fulfilled')}`,
      )
    }
    assert.equal(readdirSync(root).length, 2)
  })

  it('takes 1,000 small files at once', async (t) => {
    const { root, files } = await serveFolder(t)
    const names = Array.from({ length: 1000 }, (_, index) => `file-${index}`)
    await Promise.all(names.map((name) => files.write(name, Buffer.from(name.repeat(50)))))
    assert.deepEqual(readdirSync(root).sort(), names.sort())
    const back = await Promise.all(names.map(async (name) => (await collect(files.read(name))).toString()))
    assert.deepEqual(
      back,
      names.map((name) => name.repeat(50)),
    )
    assert.equal((await Promise.all(names.map((name) => files.stat(name)))).length, 1000)
  })

  it('refuses files above the quota, also sparse ones, and changes nothing [R-091]', async (t) => {
    const { root, files } = await serveFolder(t, { maxFileBytes: MIB })
    await files.write('file', Buffer.alloc(MIB))
    await fails(files.write('file', Buffer.alloc(MIB + 1)), 'ERR_QUOTA')
    await fails(files.write('file', portions(Buffer.alloc(4 * MIB), 100_000)), 'ERR_QUOTA')
    await fails(files.write('file', Buffer.of(1), { append: true }), 'ERR_QUOTA')
    for (const offset of [MIB, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      await fails(files.write('file', Buffer.of(1), { offset }), 'ERR_QUOTA')
    }
    assert.equal(statSync(join(root, 'file')).size, MIB)
    assert.deepEqual(readdirSync(root), ['file'])
    const unlimited = await serveFolder(t, { root })
    await fails(unlimited.files.write('file', Buffer.of(1), { offset: 2 ** 52 }), 'ERR_QUOTA')
  })
})

describe('an atomic write that is cut', () => {
  /** Gives 3 MiB, then what `then` does. */
  async function* interrupted(then: () => Promise<void> | void): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < 48; sent++) yield Buffer.alloc(64 * KIB, 1)
    await then()
    yield Buffer.alloc(64 * KIB, 2)
  }
  const leftAlone = (root: string): Promise<void> =>
    eventually(
      () =>
        readFileSync(join(root, 'file'), 'utf8') === 'before' &&
        readdirSync(root).length === 1 &&
        descriptorsIn(root).filter((path) => path !== root).length === 0,
      'the target is as it was, and nothing lies beside it',
    )

  it('by its source leaves the target and nothing else [R-094]', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'file'), 'before')
    const own = new Error('the source broke')
    await assert.rejects(
      files.write(
        'file',
        interrupted(() => Promise.reject(own)),
      ),
      (error) => error === own || (error as Error).cause === own,
    )
    await leftAlone(root)
  })

  it('by its caller leaves the target and nothing else [R-094]', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'file'), 'before')
    const controller = new AbortController()
    const writing = files.write(
      'file',
      interrupted(() => controller.abort()),
      { signal: controller.signal },
    )
    await fails(writing, 'ERR_ABORTED')
    await leftAlone(root)
  })

  it('by the loss of the session leaves the target and nothing else [R-094]', async (t) => {
    const root = temporaryFolder(t)
    writeFileSync(join(root, 'file'), 'before')
    let isCut = false
    const [nearLink, farLink] = memoryPair()
    const server = overLink(cutAfter(farLink, () => (isCut ? 0 : Infinity)).link, { protocols: [filesystem({ root })] })
    const [near] = await Promise.all([overLink(nearLink), server])
    let written = 0
    const cut = (): void => {
      written = beingWritten(root).length
      isCut = true
    }
    await assert.rejects(filesystemClient(near).write('file', interrupted(cut)), TrunkError)
    assert.equal(written, 1)
    await leftAlone(root)
    await eventually(() => descriptorsIn(root).length === 0, 'the root itself is given back with the session')
  })
})

describe('the tree', () => {
  it('grows, moves and goes', async (t) => {
    const { root, files } = await serveFolder(t)
    await fails(files.mkdir('a/b'), 'ERR_NOT_FOUND')
    await files.mkdir('a/b/c', { recursive: true, mode: 0o711 })
    await files.mkdir('a/b/c', { recursive: true })
    assert.equal(statSync(join(root, 'a/b/c')).mode & 0o777, 0o711)
    await fails(files.mkdir('a/b'), 'ERR_EXISTS')
    await files.write('a/file', Buffer.from('x'))
    await fails(files.mkdir('a/file', { recursive: true }), 'ERR_NOT_DIRECTORY')
    await fails(files.mkdir('a/file/x'), 'ERR_NOT_DIRECTORY')
    await fails(files.rename('a', 'a/b/inside'), 'ERR_PATH_INVALID')
    await files.write('target', Buffer.from('y'))
    await fails(files.rename('a/file', 'target'), 'ERR_EXISTS')
    await files.rename('a/file', 'target', { replace: true })
    assert.equal(readFileSync(join(root, 'target'), 'utf8'), 'x')
    await fails(files.rename('nothing', 'target2'), 'ERR_NOT_FOUND')
    await fails(files.remove('a'), 'ERR_NOT_EMPTY')
    await fails(files.remove('nothing'), 'ERR_NOT_FOUND')
    await files.remove('a', { recursive: true })
    await files.remove('target')
    assert.deepEqual(readdirSync(root), [])
  })

  it('gives up a folder of thousands, levels deep', async (t) => {
    const { root, files } = await serveFolder(t)
    mkdirSync(join(root, `tree/${Array(40).fill('d').join('/')}`), { recursive: true })
    mkdirSync(join(root, 'tree/many'))
    for (let index = 0; index < 2000; index++) writeFileSync(join(root, `tree/many/${index}`), '')
    await files.remove('tree', { recursive: true })
    assert.deepEqual(await toArray(files.list('')), [])
  })

  it('changes times one by one', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'file'), '')
    await files.setAttributes('file', { modifiedMs: 5000.5, accessedMs: 7000 })
    await files.setAttributes('file', { modifiedMs: 6000 })
    const { modifiedMs, accessedMs } = await files.stat('file')
    assert.deepEqual([modifiedMs, accessedMs], [6000, 7000])
    await files.setAttributes('', { modifiedMs: 9000 })
    assert.equal((await files.stat('/')).modifiedMs, 9000)
  })
})

describe('the client', () => {
  it('refuses nonsense before anything is sent', async (t) => {
    let opened = 0
    const parse = (): never => {
      opened++
      throw new TrunkError('ERR_DENIED', 'nothing is served')
    }
    const { files } = await serveProtocol(t, { name: 'filesystem', parse, handle: () => Promise.resolve() })
    await fails(files.stat('../x'), 'ERR_PATH_INVALID')
    assert.throws(() => files.read('a', { offset: -1 }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => files.list('a//b'), { code: 'ERR_PATH_INVALID' })
    await fails(files.write('a', Buffer.of(1), { append: true, offset: 1 }), 'ERR_BAD_ARGUMENT')
    await fails(files.write('a', Buffer.of(1), { mode: 0o10000 }), 'ERR_BAD_ARGUMENT')
    await fails(files.setAttributes('a', { modifiedMs: NaN }), 'ERR_BAD_ARGUMENT')
    assert.equal(opened, 0)
    await fails(files.stat('x'), 'ERR_DENIED')
    assert.equal(opened, 1)
  })

  it('refuses a source that gives no bytes, and the file stays away', async (t) => {
    const { root, files } = await serveFolder(t)
    await fails(files.write('a', ['text'] as unknown as Uint8Array[]), 'ERR_BAD_ARGUMENT')
    await eventually(() => readdirSync(root).length === 0, 'nothing is left')
  })

  it('believes no answer that makes no sense [R-092]', async (t) => {
    const answers: Record<string, unknown> = {
      stat: { type: 'door' },
      read: { bytes: 3, size: 3 },
      sha256: { sha256: Buffer.of(1), bytes: 1 },
    }
    const { files } = await serveProtocol(t, {
      name: 'filesystem',
      parse: (params) => params,
      async handle(request) {
        const { op, path } = request.params as { op: string; path: Uint8Array }
        const pipe = (request as { accept(reply?: unknown): { write(chunk: Uint8Array): Promise<void> } }).accept(
          answers[op],
        )
        if (op === 'read') await pipe.write(Buffer.from('x'.repeat(path.byteLength)))
      },
    })
    await fails(files.stat('a'), 'ERR_MESSAGE_INVALID')
    await fails(files.sha256('a'), 'ERR_MESSAGE_INVALID')
    await fails(collect(files.read('12')), 'ERR_MESSAGE_INVALID')
    await fails(collect(files.read('1234')), 'ERR_MESSAGE_INVALID')
    assert.equal((await collect(files.read('123'))).toString(), 'xxx')
  })
})

function sparse(path: string, bytes: number): void {
  const fd = openSync(path, 'w')
  writeSync(fd, 'start')
  ftruncateSync(fd, bytes)
  closeSync(fd)
}
