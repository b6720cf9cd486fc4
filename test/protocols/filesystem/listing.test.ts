import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { encodeBatch } from '../../../protocols/filesystem/entries.ts'
import type { Pipe } from '../../../src/index.ts'
import { eventually } from '../../helpers/eventually.ts'
import { collect, fails, serveFolder, serveProtocol, toArray } from './served.ts'

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
