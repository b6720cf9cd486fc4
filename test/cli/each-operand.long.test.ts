/** Operands of commands, each by itself: what fails stops no other. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { printable, printableJson } from '../../src/runtime/printable.ts'
import { withoutControls } from '../../src/contracts/errors.ts'
import { serving, start, trunkline, type Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
})
after(() => server.stop())

describe('several operands', () => {
  it('mkdir and rm: the rest is done [R-417]', async () => {
    const made = await trunkline(['mkdir', ':new', ':new', ':no/way', ':other'], { to: server.address })
    assert.equal(made.stderr.match(/^trunkline: ERR_(EXISTS: :new|NOT_FOUND: :no\/way): [^\n]+$/gm)?.length, 2)
    assert.ok(existsSync(join(root, 'other')))
    const removed = await trunkline(['rm', '-r', ':none', ':new', ':other'], { to: server.address })
    assert.match(removed.stderr, /^trunkline: ERR_NOT_FOUND: :none: [^\n]+\n$/)
    assert.deepEqual([existsSync(join(root, 'new')), existsSync(join(root, 'other'))], [false, false])
    assert.deepEqual([made.status, removed.status], [1, 1])
  })

  it('rm -r names what stays, not the top, and removes everything else [R-418]', async (t) => {
    const kept = join(root, 'tree/deep/kept')
    mkdirSync(kept, { recursive: true })
    mkdirSync(join(root, 'tree/zz'))
    for (const name of ['deep/a', 'deep/kept/x', 'deep/z', 'zz/file']) writeFileSync(join(root, 'tree', name), '')
    // a mount keeps even root from removing it
    if (spawnSync('mount', ['-t', 'tmpfs', 'none', kept]).status !== 0) {
      t.skip('this machine lets us mount nothing')
      return
    }
    t.after(() => spawnSync('umount', [kept]))
    const { status, stderr } = await trunkline(['rm', '-r', ':tree'], { to: server.address })
    assert.match(stderr, /^trunkline: ERR_BUSY: :tree\/deep\/kept: [^\n]+\n$/)
    assert.equal(status, 1)
    for (const name of ['deep/a', 'deep/z', 'zz']) assert.ok(!existsSync(join(root, 'tree', name)), name)
    assert.ok(existsSync(kept))
  })

  it('ls of a link shows the link, as ls of its folder does [R-419]', async () => {
    symlinkSync('/etc', join(root, 'link'))
    const { status, stdout } = await trunkline(['ls', '-l', ':/link'], { to: server.address })
    assert.match(stdout, /^l.* link\n$/)
    assert.equal(status, 0)
  })
})

describe('ping', () => {
  it('says what it has measured when it is interrupted [R-420]', async () => {
    const ping = start(['ping', '-c', '1000', '-i', '0.01'], { to: server.address })
    await ping.lines(3)
    ping.child.kill('SIGINT')
    const { status, stdout } = await ping.ended
    assert.match(stdout, /\n[3-9]\d* round trips, shortest [^\n]+\n$/)
    assert.equal(status, 1)
  })
})

describe('serve', () => {
  it('takes a token file with a byte order mark for the same secret, and refuses UTF-16 [R-422]', async () => {
    const secret = 'a secret of some length'
    const path = (name: string): string => join(root, name)
    writeFileSync(path('plain'), secret)
    writeFileSync(path('marked'), `\uFEFF${secret}\r\n`)
    writeFileSync(path('wide'), Buffer.from(`\uFEFF${secret}`, 'utf16le'))
    const guarded = await serving(['--token-file', path('marked')])
    const plain = await trunkline(['ping', '-c', '1', '--token-file', path('plain')], { to: guarded.address })
    const wide = await trunkline(['ping', '-c', '1', '--token-file', path('wide')], { to: guarded.address })
    await guarded.stop()
    assert.deepEqual([plain.status, plain.stderr], [0, ''])
    assert.match(wide.stderr, /^trunkline: ERR_BAD_ARGUMENT: [^\n]*UTF-16[^\n]*\n$/)
    assert.equal(wide.status, 2)
  })
})

describe('forward', () => {
  for (const bind of ['*:', ':']) {
    it(`-L ${bind}PORT:HOST:PORT listens at every address, of both families at one port [R-424]`, async () => {
      const forward = start(['forward', '-L', `${bind}0:127.0.0.1:1`], { to: server.address })
      const [first = '', second = ''] = await forward.lines(2)
      forward.child.kill('SIGTERM')
      const port = /^forwarding 0\.0\.0\.0:(\d+) -> 127\.0\.0\.1:1$/.exec(first)?.[1]
      assert.equal(second, `forwarding [::]:${port ?? '?'} -> 127.0.0.1:1`)
      assert.equal((await forward.ended).status, 0)
    })
  }
})

describe('what a server names', () => {
  const HOSTILE = 'a\u009B31m\u202Egnp.exe\u2066\u200F\u061C\u007F\uFEFF'
  // eslint-disable-next-line no-control-regex -- these are what must not be there
  const OBEYED = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]/

  it('is escaped in JSON, which says the same [R-423]', async () => {
    mkdirSync(join(root, 'hostile'))
    writeFileSync(join(root, 'hostile', HOSTILE), '')
    for (const args of [
      ['ls', '--json', ':hostile'],
      ['stat', '--json', `:hostile/${HOSTILE}`],
    ]) {
      const { stdout, stderr } = await trunkline(args, { to: server.address })
      assert.equal(stderr, '')
      assert.doesNotMatch(stdout, OBEYED)
    }
    assert.deepEqual(JSON.parse(printableJson({ name: HOSTILE })), { name: HOSTILE })
    assert.doesNotMatch(printable(HOSTILE), OBEYED)
    assert.doesNotMatch(withoutControls(HOSTILE), OBEYED)
  })

  it('reaches no other JSON: no command makes its own [R-423]', () => {
    for (const name of ['bench', 'cat', 'cp', 'doctor', 'ls', 'ping', 'stat', 'status']) {
      const source = readFileSync(new URL(`../../src/cli/commands/${name}.ts`, import.meta.url), 'utf8')
      assert.doesNotMatch(source, /JSON\.stringify/, name)
    }
  })
})
