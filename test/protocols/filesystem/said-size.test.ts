/**
 * Files whose size says less than they have (/proc: 0), or more (/sys: a page): the end is where
 * reading ends.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readChunks } from '../../../protocols/filesystem/copy/local-file.ts'
import { asFailure } from '../../../src/cli/failure.ts'
import { run } from '../../../src/cli/run.ts'
import { serve } from '../../../src/index.ts'
import { filesystem } from '../../../protocols/filesystem.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { collect, serveFolder, temporaryFolder } from './served.ts'

/** Files of the kernel whose content stands still, and what their size is next to it. */
const FILES = [
  { root: '/proc/sys/kernel', names: ['osrelease', 'ostype', 'version'], says: 'less' },
  { root: '/proc', names: ['version', 'filesystems', 'devices'], says: 'less' },
  { root: '/sys/kernel/mm/transparent_hugepage', names: ['enabled', 'defrag'], says: 'more' },
  { root: '/sys/kernel', names: ['fscaps', 'profiling', 'cpu_byteorder'], says: 'more' },
] as const

const skip = process.platform !== 'linux' && 'the kernel that has such files is Linux'
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('a file whose size is no promise', { skip }, () => {
  for (const { root, names, says } of FILES) {
    const there = names.filter((name) => existsSync(join(root, name)))
    it(
      `is read, hashed and sent in a batch to its end, below ${root} [R-435]`,
      { skip: there.length < 2 && 'no such files' },
      async (t) => {
        const { files } = await serveFolder(t, { root, readOnly: true })
        for (const name of there) {
          const bytes = readFileSync(join(root, name))
          const { size } = statSync(join(root, name))
          assert.ok(says === 'less' ? size < bytes.byteLength : size > bytes.byteLength, `${name} is a case of it`)
          assert.deepEqual(await collect(files.read(name)), bytes, name)
          assert.equal(hex(await files.sha256(name)), digest(bytes), name)
          for (const range of [
            { offset: 0, length: 3 },
            { offset: 2, length: 2 },
            { offset: 1 },
            { offset: 1, length: 100_000 },
            { offset: 100_000 },
          ]) {
            const part = bytes.subarray(range.offset, range.offset + (range.length ?? Infinity))
            assert.deepEqual(await collect(files.read(name, range)), part, `${name} ${JSON.stringify(range)}`)
            assert.equal(hex(await files.sha256(name, range)), digest(part), `${name} ${JSON.stringify(range)}`)
          }
        }
        const together = await Promise.all(
          there.map((name) => files.readSmall(name, { size: statSync(join(root, name)).size })),
        )
        assert.deepEqual(
          together.map((bytes) => String(bytes && Buffer.from(bytes))),
          there.map((name) => readFileSync(join(root, name), 'utf8')),
        )
      },
    )

    for (const terminal of [0, 100]) {
      const how = terminal === 0 ? 'in a pipe' : 'with progress'
      it(
        `is copied both ways, ${how}, below ${root} [R-435]`,
        { skip: there.length < 2 && 'no such files' },
        async (t) => {
          const here = temporaryFolder(t)
          const peer = temporaryFolder(t)
          const kernel = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root, readOnly: true })] })
          const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root: peer })] })
          t.after(() => Promise.all([kernel.close(), server.close()]))
          for (const name of there) {
            const bytes = readFileSync(join(root, name))
            for (const [to, from, target, copied] of [
              [kernel.address, `:${name}`, join(here, name), join(here, name)],
              [server.address, join(root, name), `:${name}`, join(peer, name)],
            ] as const) {
              const { context, stderr } = capturedContext({ TRUNKLINE_TO: to }, terminal)
              assert.equal(await run(['cp', from, target], context), 0, stderr())
              assert.deepEqual(readFileSync(copied), bytes)
              if (terminal > 0) assert.match(stderr(), new RegExp(` ${bytes.byteLength} B in `))
            }
          }
        },
      )
    }
  }

  it('that is long and says nothing is read in chunks [R-435]', async (t) => {
    const { files } = await serveFolder(t, { root: '/proc', readOnly: true })
    const length = 300_000
    const bytes = await collect(files.read('kallsyms', { length }))
    assert.ok(bytes.byteLength === length || bytes.byteLength === readFileSync('/proc/kallsyms').byteLength)
    assert.equal(hex(await files.sha256('kallsyms', { length })), digest(bytes))
  })
})

describe('a file here that becomes shorter while it is read', () => {
  it('is an error, never an end [R-436]', async (t) => {
    const path = join(temporaryFolder(t), 'file')
    writeFileSync(path, Buffer.alloc(100_000))
    const file = await open(path)
    t.after(() => file.close())
    await assert.rejects(
      (async () => {
        for await (const chunk of readChunks(file, 100_000, 16 * 1024)) {
          assert.ok(chunk.byteLength > 0)
          truncateSync(path, 40_000)
        }
      })(),
      { code: 'ESTALE' },
    )
    assert.equal(asFailure(Object.assign(new Error('x'), { code: 'ESTALE' })).code, 'ERR_FILE_CHANGED')
  })

  it('is told from one that never had what it said [R-436]', { skip }, async (t) => {
    const file = await open('/sys/kernel/fscaps')
    t.after(() => file.close())
    const chunks: Buffer[] = []
    for await (const chunk of readChunks(file, 4096)) chunks.push(Buffer.from(chunk))
    assert.deepEqual(Buffer.concat(chunks), readFileSync('/sys/kernel/fscaps'))
  })
})
