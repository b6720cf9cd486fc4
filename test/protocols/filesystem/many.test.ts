/**
 * Many small files in one pipe: each fares as if it had come alone, whoever is at the other end.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError, type Pipe, type PipeRequest, type ProtocolDefinition, type Trunk } from '../../../src/index.ts'
import { filesystem, type FilesystemClient } from '../../../protocols/filesystem.ts'
import type { FileRequest } from '../../../protocols/filesystem/messages.ts'
import {
  decodeDone,
  encodePaths,
  encodeWrites,
  MAX_FILE_BATCH_BYTES,
  MAX_BATCH_FILES,
  MAX_SMALL_BYTES,
  receiveFileBatch,
} from '../../../protocols/filesystem/file-batch.ts'
import { SharedBudgets } from '../../../src/runtime/budgets.ts'
import { Root } from '../../../protocols/filesystem/root.ts'
import { serveWriteMany } from '../../../protocols/filesystem/serve-many.ts'
import { Serving } from '../../../protocols/filesystem/serving.ts'
import { eventually } from '../../helpers/eventually.ts'
import { pattern, protocol } from '../../helpers/protocols.ts'
import { hostilePaths } from './hostile-paths.ts'
import { rawFileBatch } from './raw-file-batch.ts'
import { descriptorsIn, fails, serveFolder, serveProtocol, temporaryFolder } from './served.ts'

const atOnce = { durable: false }
const text = Buffer.from('small')

/**
 * A served folder, and the operations that were asked for, in order. With `unknown`, of a peer that
 * refuses these as older ones do.
 */
async function counted(t: TestContext, unknown: readonly string[] = []) {
  const root = temporaryFolder(t)
  const real = filesystem({ root }) as unknown as ProtocolDefinition<FileRequest>
  const ops: string[] = []
  const counting: ProtocolDefinition<FileRequest> = {
    ...real,
    parse(params) {
      const request = real.parse(params)
      ops.push(request.op)
      if (unknown.includes(request.op)) throw new TrunkError('ERR_PARAMS_INVALID', 'the message has a bad op')
      return request
    },
  }
  return { root, ops, ...(await serveProtocol(t, counting)) }
}

/** How each of the calls ended: what it gave, or its code. */
async function outcomes(calls: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(calls)
  return results.map((result) => {
    if (result.status === 'fulfilled') return result.value
    assert.ok(result.reason instanceof TrunkError, String(result.reason))
    return result.reason.code
  })
}

describe('small files that are written at once', () => {
  it('share pipes and have each its own outcome, bytes, mode and time [R-333]', async (t) => {
    const { root, ops, files } = await counted(t)
    mkdirSync(join(root, 'a/folder'), { recursive: true })
    symlinkSync('/etc/passwd', join(root, 'a/link'))
    writeFileSync(join(root, 'a/kept'), 'before')
    chmodSync(join(root, 'a/kept'), 0o604)
    const results = await outcomes([
      files.write('a/one', pattern(10), { ...atOnce, mode: 0o4751, modifiedMs: 5000 }),
      files.write('a/folder', text, atOnce),
      files.write('a/link', text, atOnce),
      files.write('none/two', text, atOnce),
      files.write('a/kept', Buffer.alloc(0), atOnce),
      files.write('three', pattern(MAX_SMALL_BYTES), atOnce),
      files.write('', text, atOnce),
    ])
    assert.deepEqual(results, [
      { bytes: 10 },
      'ERR_IS_DIRECTORY',
      'ERR_SYMLINK',
      'ERR_NOT_FOUND',
      { bytes: 0 },
      { bytes: MAX_SMALL_BYTES },
      'ERR_DENIED',
    ])
    assert.deepEqual(ops, ['writeMany'])
    const one = statSync(join(root, 'a/one'))
    assert.deepEqual([one.mode & 0o7777, one.mtimeMs], [0o751, 5000])
    assert.deepEqual(readFileSync(join(root, 'a/one')), Buffer.from(pattern(10)))
    // where no mode is asked for it is the one of the file that was there
    assert.deepEqual([statSync(join(root, 'a/kept')).mode & 0o7777, statSync(join(root, 'a/kept')).size], [0o604, 0])
    assert.deepEqual(readFileSync(join(root, 'three')), Buffer.from(pattern(MAX_SMALL_BYTES)))
    assert.deepEqual(readdirSync(root, { recursive: true }).sort(), [
      'a',
      'a/folder',
      'a/kept',
      'a/link',
      'a/one',
      'three',
    ])
  })

  it('go alone where they are alone, large, or ask for more than a name and bytes [R-333]', async (t) => {
    const { ops, files } = await counted(t)
    await files.write('lone', text, atOnce)
    await Promise.all([
      files.write('durable', text),
      files.write('also-durable', text),
      files.write('large', pattern(MAX_SMALL_BYTES + 1), atOnce),
      files.write('larger', pattern(MAX_SMALL_BYTES + 1), atOnce),
      files.write('exclusive', text, { ...atOnce, exclusive: true }),
      files.write('twice', text, { ...atOnce, exclusive: true }),
      files.write('in-place', text, { ...atOnce, offset: 0 }),
      files.write('appended', text, { ...atOnce, append: true }),
    ])
    assert.deepEqual(new Set(ops), new Set(['write']))
  })

  it('fill as many pipes as they need, in bytes and in files [R-333]', async (t) => {
    const { root, ops, files } = await counted(t)
    const names = Array.from({ length: 300 }, (_, index) => `file-${index}`)
    await Promise.all(names.map((name) => files.write(name, Buffer.from(name), atOnce)))
    assert.deepEqual(ops, Array(Math.ceil(300 / MAX_BATCH_FILES)).fill('writeMany'))
    for (const name of names) assert.equal(readFileSync(join(root, name), 'utf8'), name)
    ops.length = 0
    await Promise.all(names.slice(0, 8).map((name) => files.write(name, pattern(25_000), atOnce)))
    // three of them do not fit together
    assert.deepEqual(ops, Array(4).fill('writeMany'))
    const read = await Promise.all(names.map((name, index) => files.readSmall(name, { size: index < 8 ? 25_000 : 8 })))
    for (const [index, bytes] of read.entries()) {
      assert.deepEqual(Buffer.from(bytes ?? []), readFileSync(join(root, `file-${index}`)))
    }
    assert.ok(ops.length < 40, `${ops.length} operations`)
  })
})

describe('small files that are read at once', () => {
  it('share a pipe and have each its own outcome [R-334]', async (t) => {
    const { root, ops, files } = await counted(t)
    mkdirSync(join(root, 'folder'))
    writeFileSync(join(root, 'one'), pattern(100))
    writeFileSync(join(root, 'empty'), '')
    writeFileSync(join(root, 'folder/largest'), pattern(MAX_SMALL_BYTES))
    writeFileSync(join(root, 'folder/large'), pattern(MAX_SMALL_BYTES + 1))
    symlinkSync('one', join(root, 'link'))
    const names = ['one', 'none', 'empty', 'folder/largest', 'folder', 'link', '']
    const results = await outcomes(names.map((name) => files.readSmall(name)))
    assert.deepEqual(results, [
      new Uint8Array(pattern(100)),
      'ERR_NOT_FOUND',
      new Uint8Array(0),
      new Uint8Array(pattern(MAX_SMALL_BYTES)),
      'ERR_IS_DIRECTORY',
      'ERR_SYMLINK',
      'ERR_IS_DIRECTORY',
    ])
    assert.deepEqual(ops, ['readMany'])
    const large = await outcomes(['folder/large', 'one'].map((name) => files.readSmall(name)))
    assert.deepEqual(large, [undefined, new Uint8Array(pattern(100))])
    assert.equal(await files.readSmall('folder/large'), undefined)
  })

  it('come whole, though together they have no room in one answer [R-334]', async (t) => {
    const { root, files } = await counted(t)
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) writeFileSync(join(root, name), pattern(MAX_SMALL_BYTES))
    // without a guess of their sizes
    for (const bytes of await Promise.all(names.map((name) => files.readSmall(name)))) {
      assert.deepEqual(bytes && Buffer.from(bytes), Buffer.from(pattern(MAX_SMALL_BYTES)))
    }
  })

  it(
    'are read to their end where they do not know their size [R-334]',
    { skip: process.platform !== 'linux' },
    async (t) => {
      const { files } = await serveFolder(t, { root: '/proc/self' })
      const [status, again] = await Promise.all([files.readSmall('status'), files.readSmall('status')])
      for (const bytes of [status, again]) assert.match(Buffer.from(bytes ?? []).toString(), /^Name:/)
    },
  )
})

describe('an older peer', () => {
  it('that knows no batches is asked once, and served by a pipe for each file [R-335]', async (t) => {
    const { root, ops, files } = await counted(t, ['readMany', 'writeMany'])
    const names = ['a', 'b', 'c']
    await Promise.all(names.map((name) => files.write(name, text, atOnce)))
    assert.deepEqual(ops, ['writeMany', 'write', 'write', 'write'])
    assert.deepEqual(readdirSync(root).sort(), names)
    ops.length = 0
    for (const bytes of await Promise.all(names.map((name) => files.readSmall(name)))) {
      assert.equal(Buffer.from(bytes ?? []).toString(), 'small')
    }
    assert.deepEqual(ops, ['read', 'read', 'read'])
  })
})

describe('a client that makes its batches by hand', () => {
  const open = async (near: Trunk, op: string, body: Uint8Array): Promise<Pipe> =>
    await near.open('filesystem', { op }, { body })

  it('gets ERR_MESSAGE_INVALID for what is none, and nothing of it is done [R-336]', async (t) => {
    const { root, near, far } = await serveFolder(t)
    const file = [Buffer.from('planted'), 5, null, null]
    const bodies: Uint8Array[] = [
      Buffer.alloc(0),
      rawFileBatch([file], text, 2 ** 32 - 1),
      rawFileBatch([file, file], text),
      rawFileBatch([file], Buffer.concat([text, text])),
      rawFileBatch([[...file.slice(0, 1), 2 ** 50, null, null]], text),
      rawFileBatch(Array.from({ length: MAX_BATCH_FILES + 1 }, () => [file[0], 0, null, null])),
      rawFileBatch(Array.from({ length: 1_000_000 }, () => Buffer.of(0x61))),
      Buffer.alloc(MAX_FILE_BATCH_BYTES + 1, 0x61),
    ]
    for (const op of ['writeMany', 'readMany']) {
      for (const body of bodies) {
        const before = far.status().bytesRead
        const pipe = await open(near, op, body).catch((error: unknown) => error)
        // it may be over before it has begun
        if (!(pipe instanceof Error)) await fails(receiveFileBatch((pipe as Pipe).source), 'ERR_MESSAGE_INVALID')
        // what is more than a batch may have stays where it is
        assert.ok(far.status().bytesRead - before < 3 * MAX_FILE_BATCH_BYTES)
      }
    }
    assert.deepEqual(readdirSync(root), [])
    await eventually(() => descriptorsIn(root).length === 1, 'only the root is held')
  })

  it('gets a code for each path that is none, and its other files [R-336]', async (t) => {
    const { root, near } = await serveFolder(t)
    const paths = hostilePaths
      .filter((path) => path.byteLength > 0 && path.byteLength < 5000)
      .slice(0, MAX_BATCH_FILES - 1)
    const files = [...paths, Buffer.from('good')].map((path) => ({
      path,
      content: text,
      mode: undefined,
      modifiedMs: undefined,
    }))
    const pipe = await open(near, 'writeMany', encodeWrites(files))
    const done = decodeDone(await receiveFileBatch(pipe.source))
    await pipe.close()
    assert.ok(done.ok)
    for (const [index, error] of done.value.slice(0, -1).entries()) {
      assert.match(String(error?.code), /^ERR_(PATH_INVALID|DENIED)$/, String(paths[index]))
    }
    assert.equal(done.value.at(-1), undefined)
    assert.deepEqual(readdirSync(root), ['good'])
  })

  it('stays within the read-only root, the largest file and the number of handles [R-336]', async (t) => {
    const readOnly = await serveFolder(t, { readOnly: true })
    await fails(readOnly.near.open('filesystem', { op: 'writeMany' }), 'ERR_READ_ONLY')
    writeFileSync(join(readOnly.root, 'a'), 'a')
    assert.equal((await Promise.all([1, 2].map(() => readOnly.files.readSmall('a')))).length, 2)

    const { root, near, files } = await serveFolder(t, { maxFileBytes: 4, maxHandles: 2 })
    assert.deepEqual(await outcomes([files.write('a', text, atOnce), files.write('b', Buffer.of(1), atOnce)]), [
      'ERR_QUOTA',
      { bytes: 1 },
    ])
    assert.deepEqual(readdirSync(root), ['b'])
    const held = await Promise.all([1, 2].map(() => near.open('filesystem', { op: 'writeMany' })))
    await fails(near.open('filesystem', { op: 'readMany' }), 'ERR_HANDLE_LIMIT')
    for (const pipe of held) pipe.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await eventually(() => descriptorsIn(root).length === 1, 'the handles come back')
    assert.equal((await files.readSmall('b'))?.byteLength, 1)
  })

  it('that leaves in the middle leaves files whole, and nothing held [R-336]', async (t) => {
    const { root, near } = await serveFolder(t)
    const whole = encodeWrites(
      ['a', 'b'].map((name) => ({ path: Buffer.from(name), content: text, mode: 0o600, modifiedMs: 1 })),
    )
    for (let bytes = 0; bytes <= whole.byteLength; bytes++) {
      const pipe = await near.open('filesystem', { op: 'writeMany' }, { early: whole.subarray(0, bytes) })
      pipe.abort(new TrunkError('ERR_ABORTED', 'it leaves'))
      if (bytes % 10 === 0) await near.ping()
    }
    await eventually(() => descriptorsIn(root).length === 1, 'only the root is held')
    // it never said that this was all: nothing was to be done
    assert.deepEqual(readdirSync(root), [])
    const body = encodePaths([Buffer.from('a')])
    for (let bytes = 0; bytes < body.byteLength; bytes++) {
      const pipe = await open(near, 'readMany', body.subarray(0, bytes)).catch(() => undefined)
      if (pipe !== undefined) await fails(receiveFileBatch(pipe.source), 'ERR_MESSAGE_INVALID')
    }
  })
})

describe('a batch of more files than one turn takes', () => {
  it('lets others have theirs, and ends where nobody waits for it any more [R-336]', async (t) => {
    const root = temporaryFolder(t)
    const options = { readOnly: false, maxHandles: 1, maxFileBytes: 1024, allowHardLinkWrites: false }
    const serving = new Serving(new Root(Buffer.from(root)), options)
    t.after(serving.root.use())
    const files = Array.from({ length: MAX_BATCH_FILES }, (_, index) => ({
      path: Buffer.from(`file-${index}`),
      content: text,
      mode: undefined,
      modifiedMs: undefined,
    }))
    const answers: Uint8Array[] = []
    const pipe = {
      borrowed: [new Uint8ArrayList(encodeWrites(files))],
      write: (bytes: Uint8Array) => Promise.resolve(void answers.push(bytes)),
    }
    const controller = new AbortController()
    const gone = new Error('the peer has left')
    setImmediate(() => controller.abort(gone))
    const account = new SharedBudgets().open('', {} as Trunk)
    const request = {
      accept: () => pipe,
      signal: controller.signal,
      working: () => undefined,
    } as unknown as PipeRequest<FileRequest>
    await assert.rejects(serveWriteMany({ message: { op: 'writeMany' }, request, serving, account }), gone)
    assert.equal(readdirSync(root).length, 16)
    assert.deepEqual(answers, [])
    assert.equal(descriptorsIn(root).length, 1)
  })
})

describe('a server that answers batches by hand', () => {
  /**
   * Two files, read and written at once, from a server that sends these bytes whatever it is asked.
   */
  async function answered(t: TestContext, answer: (pipe: Pipe) => Promise<void>): Promise<FilesystemClient> {
    const lying = protocol('filesystem', async (request) => await answer(request.accept()))
    return (await serveProtocol(t, lying)).files
  }

  it('is believed in nothing that is not an answer to what was asked [R-337]', async (t) => {
    const lies = [
      Buffer.alloc(0),
      rawFileBatch([null]),
      rawFileBatch([null, null, null]),
      rawFileBatch([2 ** 31, 2 ** 31], text),
      rawFileBatch([1, 1], text),
      rawFileBatch([['lower case', ''], null]),
      rawFileBatch([1, 1], Buffer.of(1, 2), 2 ** 32 - 1),
      Buffer.alloc(MAX_FILE_BATCH_BYTES + 1),
    ]
    for (const [index, lie] of lies.entries()) {
      const files = await answered(t, async (pipe) => await pipe.write(lie))
      const calls = [
        files.readSmall('a'),
        files.readSmall('b'),
        files.write('a', text, atOnce),
        files.write('b', text, atOnce),
      ]
      for (const outcome of await outcomes(calls)) assert.equal(outcome, 'ERR_MESSAGE_INVALID', `lie ${index}`)
    }
  })

  it('that never ends its answer is left at the bound [R-337]', async (t) => {
    let sent = 0
    const files = await answered(t, async (pipe) => {
      for (;;) {
        await pipe.write(Buffer.alloc(16 * 1024))
        sent += 16 * 1024
      }
    })
    const reading = await outcomes([files.readSmall('a'), files.readSmall('b')])
    assert.deepEqual(reading, ['ERR_MESSAGE_INVALID', 'ERR_MESSAGE_INVALID'])
    assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes`)
  })

  it('that sends a single file without an end is left where a small one would be over [R-337]', async (t) => {
    let sent = 0
    const lying = protocol('filesystem', async (request) => {
      const pipe = request.accept({ bytes: Number.MAX_SAFE_INTEGER, size: 5 })
      for (;;) {
        await pipe.write(Buffer.alloc(16 * 1024))
        sent += 16 * 1024
      }
    })
    const { files, near } = await serveProtocol(t, lying)
    assert.equal(await files.readSmall('a'), undefined)
    assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes`)
    await eventually(() => near.status().pipes.length === 0, 'its pipe is over')
  })

  it('that refuses, or resets, fails each call by its code [R-337]', async (t) => {
    const refusing = await serveProtocol(
      t,
      protocol('filesystem', () => Promise.reject(new TrunkError('ERR_READ_ONLY', 'no'))),
    )
    const calls = [refusing.files.write('a', text, atOnce), refusing.files.write('b', text, atOnce)]
    assert.deepEqual(await outcomes(calls), ['ERR_READ_ONLY', 'ERR_READ_ONLY'])
  })
})

describe('a call that is aborted', () => {
  it('takes those with it that share its signal, and no other [R-338]', async (t) => {
    const { files } = await counted(t)
    const controller = new AbortController()
    const { signal } = controller
    const calls = [
      files.write('a', text, { ...atOnce, signal }),
      files.write('b', text, { ...atOnce, signal }),
      files.write('c', text, atOnce),
      files.write('d', text, atOnce),
    ].map((call) =>
      call.then(
        () => 'done',
        (error: unknown) => error,
      ),
    )
    const reason = new Error('enough')
    controller.abort(reason)
    const results = await Promise.all(calls)
    for (const result of results.slice(0, 2)) assert.notEqual(result, 'done')
    assert.deepEqual(results.slice(2), ['done', 'done'])
    const late = files.write('e', text, { ...atOnce, signal })
    await assert.rejects(late)
  })
})
