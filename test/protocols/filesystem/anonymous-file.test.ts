/**
 * Whether files without a name are to be had, which has to be known before the first byte is
 * written.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { canName } from '../../../protocols/filesystem/anonymous-file.ts'
import { loadNative } from '../../../src/native/load.ts'
import { BINARY, serving } from '../../helpers/command-line.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const native = loadNative()
/** A mount namespace of its own takes root. */
const unshare = spawnSync('unshare', ['--mount', 'true']).status === 0

describe('files without a name', () => {
  it('are not used where they could not be named: without /proc, in a sandbox that forbids it, without the addon', () => {
    assert.equal(canName(undefined), false)
    for (const code of ['ENOENT', 'EPERM', 'EACCES', 'ENOSYS']) {
      const name = (): never => {
        throw Object.assign(new Error(code), { code })
      }
      assert.equal(canName({ name }), false, code)
    }
  })

  it('are used here', { skip: native === undefined ? 'the native addon is not built' : false }, () => {
    assert.equal(canName(native), true)
  })

  it(
    'a machine without /proc gets its copies all the same [R-350]',
    { skip: unshare ? false : 'it takes root' },
    async () => {
      const folder = temporaryFolder()
      const [there, here] = [join(folder, 'there'), join(folder, 'here')]
      for (const each of [there, here]) mkdirSync(each)
      for (const [name, bytes] of [
        ['large', 3_000_000],
        ['small', 10],
      ] as const)
        writeFileSync(join(there, name), Buffer.alloc(bytes, name))
      const server = await serving(['--fs', there])
      const copy = ['cp', '-r', '--to', server.address, ':/.', here].map((word) => `'${word}'`).join(' ')
      execFileSync('unshare', ['--mount', 'sh', '-c', `umount -l /proc && '${process.execPath}' '${BINARY}' ${copy}`])
      await server.stop()
      assert.deepEqual(readdirSync(here).sort(), ['large', 'small'])
      for (const name of ['large', 'small']) {
        assert.deepEqual(readFileSync(join(here, name)), readFileSync(join(there, name)))
      }
    },
  )
})
