/** `ls`, `cat`, `mv`: odd names, readers that leave, what is in the way. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { failing, serving, start, succeeding } from '../helpers/command-line.ts'
import type { Outcome, Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
})
after(() => server.stop())

const ok = (...args: string[]): Promise<Outcome> => succeeding(server.address, args)

/** Runs a command that is to fail with one line, and to print nothing else. */
async function fails(status: number, line: RegExp, ...args: string[]): Promise<void> {
  assert.equal((await failing(server.address, status, line, args)).stdout, '')
}

describe('ls', () => {
  it('prints names as the bytes that they are', async () => {
    const name = Buffer.from([0x63, 0x61, 0x66, 0xe9])
    mkdirSync(join(root, 'bytes'))
    writeFileSync(Buffer.concat([Buffer.from(join(root, 'bytes/')), name]), 'coffee')
    assert.deepEqual((await ok('ls', ':bytes')).output, Buffer.concat([name, Buffer.from('\n')]))
    const json = JSON.parse((await ok('ls', '--json', ':bytes')).stdout) as { nameBase64: string }
    assert.deepEqual(Buffer.from(json.nameBase64, 'base64'), name)
  })

  it('names a file that is given instead of a directory, and fails for a missing one', async () => {
    writeFileSync(join(root, 'single'), '')
    assert.equal((await ok('ls', ':single')).stdout, 'single\n')
    await fails(1, /^trunkline: ERR_NOT_FOUND: :missing: /, 'ls', ':missing')
  })
})

describe('cat', () => {
  it('ends quietly when nobody reads any more', async () => {
    writeFileSync(join(root, 'large'), Buffer.alloc(8 * 1024 * 1024))
    const cat = start(['cat', ':large'], { to: server.address, input: '' })
    cat.child.stdout.once('data', () => cat.child.stdout.destroy())
    const { status, stderr } = await cat.ended
    assert.equal(stderr, '')
    assert.equal(status, 0)
  })

  it('fails with one line for a missing file and for a directory', async () => {
    await fails(1, /^trunkline: ERR_NOT_FOUND: :none: /, 'cat', ':none')
    await fails(1, /^trunkline: ERR_IS_DIRECTORY: :\/: /, 'cat', ':/')
  })
})

describe('mkdir, mv and rm', () => {
  it('replace a file by another, unless told not to', async () => {
    writeFileSync(join(root, 'from'), 'from')
    writeFileSync(join(root, 'to'), 'to')
    await fails(1, /^trunkline: ERR_EXISTS: /, 'mv', '-n', ':from', ':to')
    await ok('mv', ':from', ':to')
    assert.equal(readFileSync(join(root, 'to'), 'utf8'), 'from')
  })
})
