/** `cp` of single files: both ways, standard input and output, what is left when it fails. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serving, start, succeeding } from '../helpers/command-line.ts'
import type { Outcome, Serving } from '../helpers/command-line.ts'
import { beingWritten } from '../helpers/being-written.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
const here = temporaryFolder()
/** Larger than any window or buffer on the way. */
const BYTES = randomBytes(20 * 1024 * 1024)
const MODIFIED = new Date('2001-02-03T04:05:06Z')
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
})
after(() => server.stop())

const ok = (args: string[], input: string | Uint8Array = ''): Promise<Outcome> =>
  succeeding(server.address, args, input)

/** Names of unfinished files, of ours or of the server's. */
function unfinished(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.'))
}

describe('cp', () => {
  it('copies a file there and back with its mode and time', async () => {
    const source = join(here, 'source')
    writeFileSync(source, BYTES)
    chmodSync(source, 0o640)
    utimesSync(source, MODIFIED, MODIFIED)
    await ok(['cp', source, ':there'])
    await ok(['cp', ':there', join(here, 'back')])
    for (const path of [join(root, 'there'), join(here, 'back')]) {
      assert.ok(readFileSync(path).equals(BYTES))
      const { mode, mtimeMs } = statSync(path)
      assert.deepEqual([mode & 0o7777, mtimeMs], [0o640, MODIFIED.getTime()])
    }
  })

  it('copies into an existing directory under the same name', async () => {
    mkdirSync(join(root, 'into'))
    mkdirSync(join(here, 'into'))
    writeFileSync(join(here, 'name'), 'named')
    await ok(['cp', join(here, 'name'), ':into'])
    assert.equal(readFileSync(join(root, 'into/name'), 'utf8'), 'named')
    await ok(['cp', ':into/name', `${join(here, 'into')}/`])
    assert.equal(readFileSync(join(here, 'into/name'), 'utf8'), 'named')
  })
})

describe('a copy that fails', () => {
  it('leaves nothing at the peer when it is interrupted', async () => {
    const copy = start(['cp', '-', ':interrupted'], { to: server.address })
    copy.child.stdin.write(BYTES)
    await eventually(() => beingWritten(root, server.running.child.pid).length === 1, 'it is being written')
    copy.child.kill('SIGINT')
    const { status, stderr } = await copy.ended
    assert.equal(stderr, 'trunkline: ERR_ABORTED: interrupted by SIGINT\n')
    assert.equal(status, 1)
    await eventually(() => beingWritten(root, server.running.child.pid).length === 0, 'it is given up')
    assert.deepEqual(unfinished(root), [])
    assert.ok(!existsSync(join(root, 'interrupted')))
  })
})
