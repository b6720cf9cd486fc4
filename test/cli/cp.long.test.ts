/** `cp` of one file: standard streams, odd names and modes, failures, signals. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { failing, serving, start, succeeding } from '../helpers/command-line.ts'
import type { Outcome, Serving } from '../helpers/command-line.ts'
import { beingWritten } from '../helpers/being-written.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
const here = temporaryFolder()
/** Larger than any window or buffer on the way. */
const BYTES = randomBytes(20 * 1024 * 1024)
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
})
after(() => server.stop())

const ok = (args: string[], input: string | Uint8Array = ''): Promise<Outcome> =>
  succeeding(server.address, args, input)

const fails = (status: number, line: RegExp, ...args: string[]): Promise<Outcome> =>
  failing(server.address, status, line, args)

describe('cp', () => {
  it('copies standard input there and back to standard output', async () => {
    await ok(['cp', '-', ':/standard'], BYTES)
    assert.ok(readFileSync(join(root, 'standard')).equals(BYTES))
    assert.ok((await ok(['cp', ':standard', '-'])).output.equals(BYTES))
    await ok(['cp', '-', ':empty'])
    assert.equal((await ok(['cp', ':empty', '-'])).output.length, 0)
  })

  it('changes what a local link points to, and leaves a device a device', async () => {
    writeFileSync(join(root, 'new'), 'new')
    writeFileSync(join(here, 'target'), 'old')
    symlinkSync('target', join(here, 'link'))
    await ok(['cp', ':new', join(here, 'link')])
    assert.equal(readFileSync(join(here, 'target'), 'utf8'), 'new')
    await ok(['cp', ':new', '/dev/null'])
    assert.ok(statSync('/dev/null').isCharacterDevice())
  })

  it('drops setuid, setgid and sticky bits both ways [R-097]', async () => {
    writeFileSync(join(here, 'setuid'), '')
    chmodSync(join(here, 'setuid'), 0o6755)
    await ok(['cp', join(here, 'setuid'), ':setuid'])
    assert.equal(statSync(join(root, 'setuid')).mode & 0o7777, 0o755)
    chmodSync(join(root, 'setuid'), 0o7755)
    await ok(['cp', ':setuid', join(here, 'setuid-back')])
    assert.equal(statSync(join(here, 'setuid-back')).mode & 0o7777, 0o755)
  })

  it('keeps names that are not UTF-8 [R-095]', async () => {
    const name = Buffer.from([0xff, 0x2e, 0xe9])
    mkdirSync(join(here, 'raw'))
    writeFileSync(Buffer.concat([Buffer.from(join(here, 'raw/')), name]), 'raw')
    await ok(['cp', '-r', join(here, 'raw'), ':raw'])
    assert.deepEqual(readdirSync(Buffer.from(join(root, 'raw')), { encoding: 'buffer' }), [name])
    await ok(['cp', '-r', ':raw', join(here, 'raw-back')])
    assert.deepEqual(readdirSync(Buffer.from(join(here, 'raw-back')), { encoding: 'buffer' }), [name])
  })
})

describe('a copy that fails', () => {
  it('says in one line what is missing, on which side', async () => {
    const missing = join(here, 'missing')
    await fails(1, /^trunkline: ERR_NOT_FOUND: :missing: /, 'cp', ':missing', missing)
    await fails(1, new RegExp(`^trunkline: ERR_NOT_FOUND: ${missing}: `), 'cp', missing, ':missing')
    writeFileSync(join(here, 'file'), 'x')
    await fails(1, /^trunkline: ERR_NOT_FOUND: :no\/where: /, 'cp', join(here, 'file'), ':no/where')
    await fails(1, /^trunkline: ERR_NOT_DIRECTORY: :new\/: /, 'cp', join(here, 'file'), ':new/')
    await fails(1, /^trunkline: ERR_IS_DIRECTORY: /, 'cp', here, ':new')
    await fails(1, /^trunkline: ERR_IS_DIRECTORY: /, 'cp', ':/', missing)
    assert.ok(!existsSync(missing))
  })

  for (const signals of [['SIGINT'], ['SIGTERM', 'SIGTERM']] as const) {
    it(`leaves nothing here after ${signals.join(' and ')}`, async () => {
      const target = join(here, `from-peer-${signals.length}`)
      mkdirSync(target)
      // A file that never ends, so that the copy is surely under way.
      const slow = await slowServer()
      const copy = start(['cp', ':endless', join(target, 'file')], { to: slow.address, input: '' })
      await eventually(() => beingWritten(target, copy.child.pid).length === 1, 'it is being written')
      for (const signal of signals) {
        copy.child.kill(signal)
        await eventually(() => copy.child.killed, 'the signal')
      }
      const { status, stderr } = await copy.ended
      if (status !== null) assert.match(stderr, /^trunkline: ERR_ABORTED: interrupted by SIG(INT|TERM)\n$/)
      assert.deepEqual(readdirSync(target), [])
      await slow.stop()
    })
  }
})

/** A peer whose file is so large that no copy of it ends within a test. */
async function slowServer(): Promise<Serving> {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'endless'), '')
  truncateSync(join(folder, 'endless'), 2 ** 36)
  return await serving(['--fs', folder])
}
