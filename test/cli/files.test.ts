/** `ls`, `cat`, `stat`, `mkdir`, `rm`, `mv`: one server, the real command. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { failing, serving, succeeding } from '../helpers/command-line.ts'
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
  it('prints names, sorted, one a line; long and as JSON where it is asked to', async () => {
    mkdirSync(join(root, 'list/folder'), { recursive: true })
    writeFileSync(join(root, 'list/b'), 'four', { mode: 0o640 })
    writeFileSync(join(root, 'list/a'), '')
    assert.equal((await ok('ls', ':list')).stdout, 'a\nb\nfolder\n')
    const long = (await ok('ls', '-l', ':/list')).stdout.split('\n')
    assert.match(long[1] ?? '', /^-rw-r----- +4 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d b$/)
    assert.match(long[2] ?? '', /^drwx.* folder$/)
    const json = (await ok('ls', '--json', ':list')).stdout.trimEnd().split('\n')
    const entries = json.map((line) => JSON.parse(line) as { name: string; type: string; size: number; mode: number })
    assert.deepEqual(
      entries.map(({ name, type }) => [name, type]),
      [
        ['a', 'file'],
        ['b', 'file'],
        ['folder', 'directory'],
      ],
    )
    assert.deepEqual([entries[1]?.size, entries[1]?.mode], [4, 0o640])
  })
})

describe('cat', () => {
  it('writes files one after the other', async () => {
    writeFileSync(join(root, 'one'), 'first ')
    writeFileSync(join(root, 'two'), 'second')
    assert.equal((await ok('cat', ':one', ':/two')).stdout, 'first second')
  })
})

describe('stat', () => {
  it('shows type, size, mode, time and hash', async () => {
    writeFileSync(join(root, 'known'), 'known bytes', { mode: 0o600 })
    const { stdout } = await ok('stat', '--json', '--sha256', ':known')
    const found = JSON.parse(stdout) as Record<string, unknown>
    const sha256 = createHash('sha256').update('known bytes').digest('hex')
    assert.deepEqual([found['type'], found['size'], found['mode'], found['sha256']], ['file', 11, 0o600, sha256])
    const text = (await ok('stat', ':known')).stdout
    assert.match(text, /^size {6}11 B$/m)
    assert.match(text, /^mode {6}0600 \(-rw-------\)$/m)
  })
})

describe('mkdir, mv and rm', () => {
  it('make, move and remove', async () => {
    await ok('mkdir', ':new')
    await fails(1, /^trunkline: ERR_EXISTS: :new: /, 'mkdir', ':new')
    await ok('mkdir', '-p', ':new', ':new/a/b')
    writeFileSync(join(root, 'new/file'), 'content')
    await ok('mv', ':new/file', ':new/a')
    assert.equal(readFileSync(join(root, 'new/a/file'), 'utf8'), 'content')
    await ok('mv', ':new/a/file', ':new/renamed')
    assert.equal(readFileSync(join(root, 'new/renamed'), 'utf8'), 'content')
    await fails(1, /^trunkline: ERR_NOT_EMPTY: :new: /, 'rm', ':new')
    await ok('rm', '-r', ':new')
    assert.ok(!existsSync(join(root, 'new')))
    await fails(1, /^trunkline: ERR_NOT_FOUND: :new: /, 'rm', ':new')
    await ok('rm', '-f', ':new')
  })
})

describe('ping and status', () => {
  it('measure the round trip', async () => {
    const { stdout } = await ok('ping', '-c', '3', '-i', '0')
    assert.equal(stdout.match(/^pong from /gm)?.length, 3)
    const json = JSON.parse((await ok('ping', '-c', '2', '-i', '0', '--json')).stdout) as {
      count: number
      times: number[]
    }
    assert.equal(json.count, 2)
    assert.ok(json.times.every((ms) => ms > 0 && ms < 10_000))
  })

  it('show what the peer offers', async () => {
    assert.match((await ok('status')).stdout, /^offers {6}filesystem$/m)
    const json = JSON.parse((await ok('status', '--json')).stdout) as { peer: { protocols: string[] } }
    assert.deepEqual(json.peer.protocols, ['filesystem'])
  })
})
