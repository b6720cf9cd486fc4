/**
 * Peers by their names: two servers on unix sockets, and the real command line with a
 * configuration.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { serving, trunkline, type Outcome } from '../helpers/command-line.ts'
import { freePort } from '../helpers/loopback.ts'
import { addressOf, configure, env, home, one, servePeers, tl, two, TWO } from './peers-bed.ts'

servePeers()

describe('the name of a peer', () => {
  it('stands for its address in every command [R-679]', async () => {
    writeFileSync(join(one, 'a'), 'first\n')
    writeFileSync(join(two, 'b'), 'second\n')
    const said = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await tl(...args)
      assert.equal(stderr, '', args.join(' '))
      assert.equal(status, 0, args.join(' '))
      return stdout
    }
    assert.equal(await said('cat', 'vm1:a', 'vm2:/b'), 'first\nsecond\n')
    assert.equal(await said('ls', 'vm1:', 'vm2:/'), 'vm1:\na\n\nvm2:/\nb\n')
    assert.equal(await said('ls', '--to', 'vm1'), 'a\n')
    assert.match(await said('stat', 'vm2:b'), /^path +vm2:b$/m)
    assert.match(await said('stat', '--json', 'vm2:b'), /"peer":"vm2","path":"b"/)
    await said('mkdir', 'vm1:d', 'vm2:e')
    await said('mv', 'vm1:a', 'vm1:d')
    await said('cp', 'vm1:d/a', join(home, 'got'))
    await said('cp', join(home, 'got'), 'vm2:e/')
    await said('rm', '-r', 'vm1:d', 'vm2:e', 'vm2:b')
    assert.deepEqual([readdirSync(one), readdirSync(two)], [[], []])
    assert.match(await said('ping', '@vm2', '-c', '1'), /^pong from /)
    assert.match(await said('status', 'vm1'), new RegExp(`address +${addressOf('vm1')}`))
    assert.match(await said('bench', '@vm2', '--seconds', '0.1'), /from the peer/)
    assert.match(await said('doctor', '@vm1'), /No problem found/)
    assert.equal(await said('exec', '@vm2', '--', 'pwd'), `${two}\n`)
    assert.equal(await said('exec', '--to', 'vm1', '@vm2', 'x'), 'named x\n')
    assert.equal((await trunkline(['ls', ':'], { env, to: '@vm1' })).status, 0)
  })

  it('that two patterns fit is refused [R-679]', async () => {
    const file = join(home, 'patterns.toml')
    configure('[peer."ci-*"]\nto = "tcp://h:1"\n[peer."*-9"]\nto = "tcp://h:2"\n', file)
    const { stderr } = await tl('ping', 'ci-9', '--config', file)
    assert.match(
      stderr,
      /patterns\.toml:3: peer\."\*-9": it fits ci-9, as "ci-\*" does; give ci-9 a section of its own\n$/,
    )
  })
})

describe('a local file with a colon', () => {
  it('is written with ./ before it, whatever peers there are [R-680]', async () => {
    const cwd = join(home, 'colons')
    mkdirSync(cwd)
    writeFileSync(join(cwd, 'vm1:'), 'local')
    writeFileSync(join(cwd, 'x:y'), 'local too')
    const run = (...args: string[]): Promise<Outcome> => trunkline(args, { env, cwd })
    assert.equal((await run('cp', './vm1:', 'vm1:copied')).stderr, '')
    assert.equal(readFileSync(join(one, 'copied'), 'utf8'), 'local')
    assert.equal((await run('cp', 'vm1:copied', './vm2:')).stderr, '')
    assert.equal(readFileSync(join(cwd, 'vm2:'), 'utf8'), 'local')
    const { status, stderr } = await run('cp', 'x:y', 'vm1:')
    assert.match(stderr, /"x" before the colon is no name of a peer; a local file is written \.\/x:y\n$/)
    assert.equal(status, 2)
    execFileSync('rm', ['-r', join(one, 'copied')])
  })
})

describe('cp between two peers', () => {
  const tree = join(one, 'tree')
  before(() => {
    mkdirSync(join(tree, 'deep/empty'), { recursive: true })
    for (let i = 0; i < 150; i++) writeFileSync(join(tree, `f${i}`), `file ${i}`)
    for (let i = 0; i < 12; i++) writeFileSync(join(tree, 'deep', `large${i}`), randomBytes(300_000 + i))
    writeFileSync(join(tree, 'deep/nothing'), '')
    chmodSync(join(tree, 'f1'), 0o755)
    utimesSync(join(tree, 'f2'), 1_000_000_000, 1_000_000_000)
    utimesSync(join(tree, 'deep'), 1_100_000_000, 1_100_000_000)
  })

  it('carries files with mode and time, onto a directory into it, both ways [R-680]', async () => {
    assert.equal((await tl('cp', 'vm1:tree/f1', 'vm2:named')).stderr, '')
    assert.equal((await tl('cp', 'vm2:named', 'vm1:')).stderr, '')
    assert.equal(readFileSync(join(one, 'named'), 'utf8'), 'file 1')
    assert.equal(statSync(join(one, 'named')).mode & 0o777, 0o755)
    const { status, stderr } = await tl('cp', 'vm1:tree', 'vm2:x')
    assert.match(stderr, /ERR_IS_DIRECTORY: vm1:tree: it is a directory; copy it with -r/)
    assert.equal(status, 1)
  })

  it('names the peer of a path in each error, and of two peers the one that failed [R-824]', async () => {
    mkdirSync(join(one, 'blamed'))
    writeFileSync(join(one, 'blamed/file'), 'content')
    const file = join(home, 'read-only.toml')
    configure(`${TWO}[peer.ro]\nto = "${addressOf('ro')}"\n`, file)
    const readOnly = await serving(['--fs', `${two}:ro`], addressOf('ro'))
    const said = async (...args: string[]): Promise<string> => (await tl('cp', '-r', ...args, '--config', file)).stderr
    assert.match(await said('vm1:blamed', 'vm2:no/way'), /ERR_NOT_FOUND: vm2:no\/way: /)
    assert.match(await said('vm1:blamed', 'ro:new'), /ERR_READ_ONLY: ro:new: /)
    assert.match(await said(join(one, 'blamed'), 'vm2:no/way'), /ERR_NOT_FOUND: vm2:no\/way: /)
    assert.match(await said(join(one, 'blamed/file'), 'vm2:no/way'), /ERR_NOT_FOUND: vm2:no\/way: /)
    await readOnly.stop()
  })
})

describe('serve @NAME', () => {
  it('serves what the configuration says, where flags say nothing else [R-681]', async () => {
    const file = join(home, 'serve.toml')
    const folder = join(home, 'served')
    mkdirSync(folder)
    writeFileSync(join(folder, 'x'), 'served')
    configure(
      `[serve.guest]\naddress = "tcp://127.0.0.1:0"\nfs = "~/served:ro"\nexec-named = ["hi=/bin/echo hi"]\n`,
      file,
    )
    const guest = await serving(['--config', file], '@guest', { env })
    assert.equal((await trunkline(['cat', ':x'], { to: guest.address })).stdout, 'served')
    assert.match((await trunkline(['rm', ':x'], { to: guest.address })).stderr, /ERR_READ_ONLY/)
    assert.equal((await trunkline(['exec', '@hi'], { to: guest.address })).stdout, 'hi\n')
    const other = await serving(['--as', 'guest', '--config', file, '--fs', one], addressOf('as'), { env })
    assert.equal(other.address, addressOf('as'))
    assert.equal((await trunkline(['mkdir', ':as'], { to: other.address })).stderr, '')
    await Promise.all([guest.stop(), other.stop()])
    for (const args of [
      ['serve', '@none'],
      ['serve', '--as', 'none', 'stdio:'],
    ])
      assert.match((await tl(...args, '--config', file)).stderr, /ERR_NOT_CONFIGURED: there is no \[serve\.none\]/)
    assert.match((await tl('serve')).stderr, /serve where\?/)
    configure('[serve.guest]\naddress = "tcp://0.0.0.0:0"\nexec = ["any"]\n', file)
    assert.match((await tl('serve', '@guest', '--config', file)).stderr, /others reach .*--token-file/)
  })
})

describe('peers', () => {
  it('lists names, and which of them are there [R-682]', async () => {
    const file = join(home, 'list.toml')
    configure(`${TWO}[peer.gone]\nto = "tcp://127.0.0.1:${await freePort()}"\nwait = inf\n`, file)
    const list = await tl('peers', '--config', file)
    assert.match(list.stdout, /^vm1 {3}unix:\/\/[^\n]+\nvm\*2 {2}unix:\/\/[^\n]+%n\.sock\ngone {2}tcp:[^\n]+\n$/)
    const json = (await tl('peers', '--json', '--check', '--config', file)).stdout.trim().split('\n')
    const [vm1, pattern, gone] = json.map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.equal(vm1?.['there'], true)
    assert.deepEqual([pattern?.['name'], pattern?.['there'], pattern?.['tokenFile']], ['vm*2', undefined, '~/%n.token'])
    assert.deepEqual([gone?.['there'], gone?.['error'], gone?.['wait']], [false, 'ERR_CONNECT_REFUSED', 'inf'])
    const checked = await tl('peers', '--check', '--config', file)
    assert.match(checked.stdout, /^vm1 .*there, [^\n]+\nvm\*2 [^\n]+\ngone .*ERR_CONNECT_REFUSED$/m)
    assert.equal(checked.status, 1)
  })
})
