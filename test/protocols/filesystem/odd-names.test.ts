/**
 * Names that are bytes and nothing else: each goes through every call of the client and through
 * `cp -r`, both ways.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { join } from 'node:path'
import { filesystem } from '../../../protocols/filesystem.ts'
import { run } from '../../../src/cli/run.ts'
import { serve } from '../../../src/index.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { collect, serveFolder, temporaryFolder, toArray } from './served.ts'

/** One byte for each character. */
const NAMES = [
  'system-systemd\\x2dcryptsetup.slice',
  '\\',
  'a\\..\\b',
  '-rf',
  '--help',
  ' ',
  'two\nlines',
  'tab\tand\x1b[31m',
  'caf\xe9',
  '\xff\xfe',
  '\xed\xb2\xa9',
  '\xef\xbf\xbd',
  'trailing.',
  'trailing..',
  'trailing ',
  '...',
  'a:b',
  '%2e%2e',
  '~',
  '*',
  'n'.repeat(255),
  '\xe9'.repeat(255),
].map((name) => Buffer.from(name, 'latin1'))
const sorted = (names: readonly Buffer[]): string[] => names.map((name) => name.toString('latin1')).sort()

function make(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const name of NAMES) {
    mkdirSync(Buffer.concat([Buffer.from(`${folder}/`), name]))
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), name, Buffer.from('/'), name]), name)
  }
}

function assertMade(folder: string): void {
  assert.deepEqual(sorted(readdirSync(Buffer.from(folder), { encoding: 'buffer' })), sorted(NAMES))
  for (const name of NAMES) {
    assert.deepEqual(readFileSync(Buffer.concat([Buffer.from(`${folder}/`), name, Buffer.from('/'), name])), name)
  }
}

describe('a name of odd bytes', { skip: process.platform !== 'linux' && 'other systems take fewer names' }, () => {
  it('is what it is in every call of the client [R-439]', async (t) => {
    const { root, files } = await serveFolder(t)
    make(root)
    const listed = await toArray(files.list(''))
    assert.deepEqual(sorted(listed.map(({ nameBytes }) => Buffer.from(nameBytes))), sorted(NAMES))
    for (const name of NAMES) {
      const path = Buffer.concat([name, Buffer.from('/'), name])
      assert.equal((await files.stat(path)).size, name.byteLength)
      assert.deepEqual(await collect(files.read(path)), name)
      await files.write(path, Buffer.from('new'))
      await files.setAttributes(path, { mode: 0o600 })
      await files.rename(path, name.byteLength < 255 ? Buffer.concat([path, Buffer.from('2')]) : path.subarray(0, -1))
      await files.mkdir(path)
      await files.remove(name, { recursive: true })
    }
    assert.deepEqual(readdirSync(root), [])
  })

  it('crosses with cp -r, both ways [R-439]', async (t) => {
    const [root, here] = [temporaryFolder(t), temporaryFolder(t)]
    make(join(here, 'tree'))
    const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
    t.after(() => server.close())
    for (const args of [
      [join(here, 'tree'), ':tree'],
      [':tree', join(here, 'back')],
    ]) {
      const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address })
      assert.equal(await run(['cp', '-r', ...args], context), 0, stderr())
    }
    assertMade(join(root, 'tree'))
    assertMade(join(here, 'back'))
  })
})
