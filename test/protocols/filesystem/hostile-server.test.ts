/**
 * A server that lies about what it serves: a copy of its tree makes nothing outside the folder that
 * the user has named, and nothing but files in it.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { encodeBatch, type WireEntry } from '../../../protocols/filesystem/entries.ts'
import { decodeRequest, type FileType } from '../../../protocols/filesystem/messages.ts'
import { run } from '../../../src/cli/run.ts'
import { serve, TrunkError, type PipeRequest } from '../../../src/index.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { protocol } from '../../helpers/protocols.ts'
import { temporaryFolder } from './served.ts'

const PLANTED = Buffer.from('planted by the server')

const entry = (name: string | Uint8Array, type: FileType = 'file'): WireEntry => ({
  nameBytes: Buffer.from(name),
  type,
  size: PLANTED.byteLength,
  mode: 0o6777,
  modifiedMs: 1000,
})

/**
 * Serves a tree of directories that are all alike: each lists `entries`. Every file has the same
 * content.
 */
async function hostileServer(t: TestContext, entries: readonly WireEntry[]): Promise<string> {
  const liar = protocol('filesystem', async (request: PipeRequest) => {
    const decoded = decodeRequest(request.params)
    if (!decoded.ok) throw decoded.error
    switch (decoded.value.op) {
      case 'stat': {
        const times = { modifiedMs: 1000, accessedMs: 1000 }
        request.accept({ type: 'directory', size: 0, mode: 0o7777, links: 1, ...times })
        return
      }
      case 'list':
        await request.accept().write(encodeBatch(entries))
        return
      case 'read':
        await request.accept({ bytes: PLANTED.byteLength, size: PLANTED.byteLength }).write(PLANTED)
        return
      default:
        throw new TrunkError('ERR_UNSUPPORTED', 'no')
    }
  })
  const server = await serve('tcp://127.0.0.1:0', { protocols: [liar] })
  t.after(() => server.close())
  return server.address
}

/**
 * Copies the server's tree to a new folder; gives what was said and what is there now, and fails
 * where something is beside it.
 */
async function copyFrom(t: TestContext, address: string, expected: number): Promise<{ said: string; names: string[] }> {
  const base = temporaryFolder(t)
  mkdirSync(join(base, 'outside'))
  writeFileSync(join(base, 'outside/canary'), 'canary')
  const { context, stderr } = capturedContext()
  const status = await run(['cp', '-r', '--to', address, ':dir', join(base, 'target')], context)
  assert.equal(status, expected, stderr())
  assert.deepEqual(readdirSync(base).sort(), ['outside', 'target'])
  assert.deepEqual(readdirSync(join(base, 'outside')), ['canary'])
  assert.equal(readFileSync(join(base, 'outside/canary'), 'utf8'), 'canary')
  const names = readdirSync(join(base, 'target'), { recursive: true, encoding: 'utf8' }).sort()
  return { said: stderr(), names }
}

const NAMES: readonly (string | Uint8Array)[] = [
  '',
  '.',
  '..',
  '../outside/canary',
  '../planted',
  'a/b',
  'ok/../../planted',
  '/tmp/planted-by-a-server',
  '/',
  'a\0b',
  '\0',
  'n'.repeat(256),
  Uint8Array.of(0xff, 0x2f, 0x2e, 0x2e),
]

describe('a server that lies', () => {
  it('about names plants nothing, whatever it calls them [R-276]', async (t) => {
    for (const name of NAMES) {
      for (const type of ['file', 'directory', 'symlink', 'other'] as const) {
        for (const entries of [[entry(name, type)], [entry('ok'), entry(name, type)]]) {
          const { said, names } = await copyFrom(t, await hostileServer(t, entries), 1)
          assert.match(said, /ERR_NAME_INVALID/, `${JSON.stringify(Buffer.from(name).toString())} as ${type}`)
          // a batch with a lie in it is refused as a whole
          assert.deepEqual(names, [])
        }
      }
    }
  })

  it('about what its entries are makes neither links nor devices, and no file of another one’s place [R-277]', async (t) => {
    const special = await copyFrom(t, await hostileServer(t, [entry('link', 'symlink'), entry('null', 'other')]), 1)
    assert.deepEqual(special.names, [])
    const twice = [entry('a'), entry('a', 'symlink'), entry('a', 'other'), entry('a')]
    const doubled = await copyFrom(t, await hostileServer(t, twice), 1)
    assert.deepEqual(doubled.names, ['a'])
  })

  it('about the depth of its tree is followed to the longest path there is, and no further [R-278]', async (t) => {
    const { said, names } = await copyFrom(t, await hostileServer(t, [entry('f'), entry('d', 'directory')]), 1)
    assert.match(said, /ERR_PATH_INVALID/)
    const deepest = Math.max(...names.map((name) => name.split('/').length))
    assert.ok(deepest > 500 && deepest <= 512, `${deepest} levels`)
    assert.equal(
      names.filter((name) => name.endsWith('f')).length + names.filter((name) => name.endsWith('d')).length,
      names.length,
    )
  })
})
