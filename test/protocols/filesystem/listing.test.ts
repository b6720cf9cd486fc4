import assert from 'node:assert/strict'
import { linkSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import { encodeBatch } from '../../../protocols/filesystem/entries.ts'
import type { Pipe } from '../../../src/index.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { collect, descriptorsIn, fails, serveFolder, serveProtocol, toArray } from './served.ts'

const MANY = 100_000
const MIB = 1024 * 1024

v8.setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes that this process really holds. */
function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe('a listing', () => {
  it('names each entry with its type, size, mode and time', async (t) => {
    const { root, files } = await serveFolder(t)
    mkdirSync(join(root, 'folder'))
    writeFileSync(join(root, 'file'), '12345', { mode: 0o640 })
    symlinkSync('nowhere', join(root, 'link'))
    const entries = await toArray(files.list('/'))
    const seen = entries.map(({ name, type }) => [name, type]).sort()
    assert.deepEqual(seen, [
      ['file', 'file'],
      ['folder', 'directory'],
      ['link', 'symlink'],
    ])
    const file = entries.find((entry) => entry.name === 'file')
    assert.deepEqual([file?.size, file?.mode], [5, 0o640])
    assert.equal(file?.modifiedMs, (await files.stat('file')).modifiedMs)
  })

  it('says what is no directory', async (t) => {
    const { root, files } = await serveFolder(t)
    writeFileSync(join(root, 'file'), '')
    await fails(toArray(files.list('file')), 'ERR_NOT_DIRECTORY')
    await fails(toArray(files.list('nothing')), 'ERR_NOT_FOUND')
  })

  it('keeps names that are not UTF-8: listed, read, written, moved and removed as bytes [R-095]', async (t) => {
    const { root, files } = await serveFolder(t)
    const odd = Buffer.from([0x66, 0xff, 0xfe, 0x20, 0xc3])
    const odder = Buffer.from([0xf0, 0x80, 0x0a])
    await files.mkdir(odd)
    const inside = Buffer.concat([odd, Buffer.from('/'), odder])
    await files.write(inside, Buffer.from('kept'))
    assert.deepEqual(readdirSync(root, 'buffer'), [odd])
    const [entry] = await toArray(files.list(''))
    assert.deepEqual(Buffer.from(entry!.nameBytes), odd)
    assert.equal(entry!.name, 'f\ufffd\ufffd \ufffd')
    assert.equal((await collect(files.read(inside))).toString(), 'kept')
    assert.equal((await files.stat(inside)).size, 4)
    await files.rename(inside, odder)
    await files.remove(odd)
    assert.deepEqual(readdirSync(root, 'buffer'), [odder])
    await files.remove(odder)
    // the lossy text names something else, or nothing
    await fails(files.stat(entry!.name), 'ERR_NOT_FOUND')
  })

  it('of 100,000 entries flows in less than 16 MiB, and stops where its reader does [R-096]', async (t) => {
    const { root, near, far, files } = await serveFolder(t)
    mkdirSync(join(root, 'many'))
    // names of four files: quicker to make than files, and a listing knows no difference
    for (let index = 0; index < MANY; index++) {
      const file = join(root, `file-${index % 4}`)
      if (index < 4) writeFileSync(file, '')
      linkSync(file, join(root, `many/an entry with a usual name ${index}`))
    }
    let count = 0
    let peak = 0
    const before = heldBytes()
    for await (const entry of files.list('many')) {
      assert.ok(entry.nameBytes.byteLength > 0)
      if (++count % 10_000 === 0) peak = Math.max(peak, heldBytes() - before)
    }
    assert.equal(count, MANY)
    assert.ok(peak < 16 * MIB, `held ${peak} bytes`)

    await t.test('by leaving the loop', async () => {
      const idle = heldBytes()
      for await (const entry of files.list('many')) {
        assert.equal(entry.type, 'file')
        // a reader that pauses: the server reads the directory no further than the pipe's credit takes it
        await steady(() => far.status().pipes[0]?.bytesWritten ?? 0, 1000)
        const held = heldBytes() - idle
        assert.ok(held < 2 * MIB, `held ${held} bytes`)
        break
      }
      await eventually(() => descriptorsIn(join(root, 'many')).length === 0, 'the directory is closed')
    })

    await t.test('by its signal', async () => {
      const controller = new AbortController()
      let seen = 0
      const listing = async (): Promise<void> => {
        for await (const entry of files.list('many', { signal: controller.signal })) {
          if (entry.size === 0 && ++seen === 1000) controller.abort()
        }
      }
      await fails(listing(), 'ERR_ABORTED')
      assert.ok(seen < MANY)
      await eventually(() => descriptorsIn(join(root, 'many')).length === 0, 'the directory is closed')
      assert.equal(near.status().pipes.length, 0)
    })
    await files.remove('many', { recursive: true })
  })

  it('with a name that leads elsewhere is refused by the client, whatever the server [R-081]', async (t) => {
    const lies: Record<string, Uint8Array> = {
      climbs: encodeBatch([
        { nameBytes: Buffer.from('../../.ssh/x'), type: 'file', size: 1, mode: 0o644, modifiedMs: 1 },
      ]),
      cut: encodeBatch([{ nameBytes: Buffer.from('x'), type: 'file', size: 1, mode: 0o644, modifiedMs: 1 }]).subarray(
        0,
        -1,
      ),
      huge: Buffer.from([0xff, 0xff, 0xff, 0xff]),
    }
    const { files, near } = await serveProtocol(t, {
      name: 'filesystem',
      parse: (params) => params,
      async handle(request: { params: unknown; accept(): Pipe }) {
        const { path } = request.params as { path: Uint8Array }
        await request.accept().write(lies[Buffer.from(path).toString()]!)
      },
    })
    await fails(toArray(files.list('climbs')), 'ERR_NAME_INVALID')
    await fails(toArray(files.list('cut')), 'ERR_MESSAGE_INVALID')
    await fails(toArray(files.list('huge')), 'ERR_MESSAGE_INVALID')
    await eventually(() => near.status().pipes.length === 0, 'the pipes are over')
  })
})
