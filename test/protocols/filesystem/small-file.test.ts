/**
 * Small files of a tree keep the promises of all others: no link followed, all of the new content
 * or what was there, nothing left behind.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MAX_SMALL_BYTES } from '../../../protocols/filesystem/file-batch.ts'
import { SendPacer, readSmall, replaceSmall } from '../../../protocols/filesystem/copy/small-file.ts'
import { run } from '../../../src/cli/run.ts'
import { serve } from '../../../src/index.ts'
import { type ByteString, byteString } from '../../../src/runtime/byte-string.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { pattern, protocol } from '../../helpers/protocols.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const at = (folder: string, name: string): ByteString => byteString(join(folder, name))
const ATTRIBUTES = { mode: 0o4640, modifiedMs: 1_600_000_000_000 }

describe('a small file that is read', () => {
  it('is whole, up to the bound, and left to the other way above it, or no file [R-307]', () => {
    const folder = temporaryFolder()
    for (const size of [0, 1, MAX_SMALL_BYTES]) {
      writeFileSync(join(folder, 'small'), pattern(size))
      assert.deepEqual(readSmall(at(folder, 'small'))?.bytes, pattern(size))
    }
    writeFileSync(join(folder, 'large'), pattern(MAX_SMALL_BYTES + 1))
    execFileSync('mkfifo', [join(folder, 'fifo')])
    for (const name of ['large', 'fifo', '.']) assert.equal(readSmall(at(folder, name)), undefined, name)
    assert.equal(readSmall(byteString('/proc/self/status')), undefined)
  })

  it('is not reached through a link [R-308]', () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'secret'), 'secret')
    symlinkSync('secret', join(folder, 'link'))
    assert.throws(() => readSmall(at(folder, 'link')), { code: 'ELOOP' })
  })
})

describe('a small file that is written', () => {
  it('has its bytes, mode and time, without special bits, and replaces a link instead of following it [R-309]', () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'outside'), 'untouched')
    symlinkSync('outside', join(folder, 'new'))
    replaceSmall(at(folder, 'new'), pattern(10_000), ATTRIBUTES)
    assert.deepEqual(readFileSync(join(folder, 'new')), pattern(10_000))
    const { mode, mtimeMs } = statSync(join(folder, 'new'))
    assert.deepEqual([mode & 0o7777, mtimeMs], [0o640, ATTRIBUTES.modifiedMs])
    assert.equal(readFileSync(join(folder, 'outside'), 'utf8'), 'untouched')
    assert.deepEqual(readdirSync(folder).sort(), ['new', 'outside'])
  })

  it('may be empty, and as large as they come [R-310]', () => {
    const folder = temporaryFolder()
    for (const size of [0, 1, MAX_SMALL_BYTES]) {
      replaceSmall(at(folder, 'x'), pattern(size), ATTRIBUTES)
      assert.deepEqual(readFileSync(join(folder, 'x')), pattern(size), `${size} bytes`)
    }
    assert.deepEqual(readdirSync(folder), ['x'])
  })

  it('that fails leaves what was there and no temporary file [R-311]', () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'folder'))
    assert.throws(() => replaceSmall(at(folder, 'folder'), pattern(5), ATTRIBUTES), { code: 'EISDIR' })
    assert.throws(() => replaceSmall(at(folder, 'none/x'), pattern(5), ATTRIBUTES), { code: 'ENOENT' })
    assert.deepEqual(readdirSync(folder), ['folder'])
  })
})

describe('cp', () => {
  it('waits for no disk, in a tree and for one file [R-312]', async (t) => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'tree'))
    writeFileSync(join(folder, 'tree', 'small'), 'small')
    writeFileSync(join(folder, 'tree', 'large'), pattern(MAX_SMALL_BYTES + 1))
    const durable: unknown[] = []
    const files = protocol('filesystem', async ({ params, accept }) => {
      const { op, durable: asked } = params as { op: string; durable?: boolean }
      const pipe = accept(op === 'stat' ? STATUS : undefined)
      if (op === 'write') durable.push(asked)
      for await (const _ of pipe.source);
    })
    const server = await serve('tcp://127.0.0.1:0', { protocols: [files] })
    t.after(() => server.close())
    const { context, stderr } = capturedContext()
    for (const args of [['-r', join(folder, 'tree')], [join(folder, 'tree', 'small')]]) {
      assert.equal(await run(['cp', '--to', server.address, ...args, ':/x'], context), 0, stderr())
    }
    assert.deepEqual(durable, [false, false, false])
  })
})

/** A directory: where everything is copied into. */
const STATUS = { type: 'directory', size: 0, mode: 0o755, modifiedMs: 0, accessedMs: 0, links: 1 }

describe('portions of small files', () => {
  it('let the event loop on after sixteen, and wait for nothing before', async () => {
    const pacer = new SendPacer()
    let turns = 0
    const count = (): void => {
      turns++
    }
    setImmediate(count)
    for (let file = 0; file < 16; file++) await pacer.take()
    assert.equal(turns, 0)
    await Promise.all(Array.from({ length: 17 }, () => pacer.take()))
    assert.equal(turns, 1)
  })
})
