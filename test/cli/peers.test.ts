/**
 * Peers by their names: two servers on unix sockets, and the real command line with a
 * configuration.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serving, start, trunkline, type Outcome, type Serving } from '../helpers/command-line.ts'
import { freePort } from '../helpers/loopback.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const home = temporaryFolder()
const [one, two] = [join(home, 'one'), join(home, 'two')]
const config = join(home, '.config/trunkline/config.toml')
const addressOf = (name: string): string => `unix://${join(home, name)}.sock`
const env = { HOME: home, XDG_CONFIG_HOME: '' }
let servers: Serving[] = []

const tl = (...args: string[]): Promise<Outcome> => trunkline(args, { env })

function configure(text: string, file = config): void {
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, text, { mode: 0o600 })
}

const TWO = `[peer.vm1]
to = "${addressOf('vm1')}"
forward = ["-L 0:127.0.0.1:9", "-D 0"]
[peer."vm*2"]
to = "unix://${home}/%n.sock"
token-file = "~/%n.token"
exec = { cwd = "${two}" }
`

before(async () => {
  for (const folder of [one, two]) mkdirSync(folder)
  writeFileSync(join(home, 'vm2.token'), 'a secret of more than 16 bytes\n')
  configure(TWO)
  const token = ['--token-file', join(home, 'vm2.token')]
  servers = await Promise.all([
    serving(['--fs', one, '--exec-named', 'vm2=/bin/echo named **'], addressOf('vm1')),
    serving(['--fs', two, '--exec', 'any', '--bench', ...token], addressOf('vm2')),
  ])
})
after(() => Promise.all(servers.map((server) => server.stop())))

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

  it('forwards what the configuration says, or what the command line does instead [R-679]', async () => {
    const all = start(['forward', '@vm1'], { env })
    const lines = await all.lines(2)
    assert.match(lines.join('\n'), /^forwarding 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:9\nforwarding 127\.0\.0\.1:\d+/)
    const single = start(['forward', 'vm1', '-L', '0:127.0.0.1:7'], { env })
    assert.match((await single.lines(1)).join('\n'), /-> 127\.0\.0\.1:7$/)
    for (const running of [all, single]) {
      running.child.kill('SIGTERM')
      assert.equal((await running.ended).status, 0)
    }
    assert.match((await tl('forward', '@vm2')).stderr, /forward what\?/)
  })

  it('gives way to flags, and the configuration to the environment [R-679]', async () => {
    writeFileSync(join(home, 'wrong.token'), 'another secret of 16 bytes\n')
    const wrong = join(home, 'wrong.token')
    const codeOf = ({ stderr }: Outcome): string => /ERR_\w+/.exec(stderr)?.[0] ?? 'none'
    const inEnvironment = { ...env, TRUNKLINE_TOKEN_FILE: wrong }
    assert.equal(codeOf(await tl('ls', 'vm2:')), 'none')
    assert.equal(codeOf(await trunkline(['ls', 'vm2:'], { env: inEnvironment })), 'ERR_AUTH_FAILED')
    const right = ['--token-file', join(home, 'vm2.token')]
    assert.equal(codeOf(await trunkline(['ls', 'vm2:', ...right], { env: inEnvironment })), 'none')
    assert.equal(codeOf(await trunkline(['ls', '--to', 'vm1', ':'], { env, to: 'tcp://127.0.0.1:1' })), 'none')
    const other = join(home, 'other.toml')
    configure(`[defaults]\nwait = 0.2\n[peer.gone]\nto = "tcp://127.0.0.1:${await freePort()}"\n`, other)
    const waited = await tl('ping', 'gone', '--config', other)
    assert.match(waited.stderr, /waiting for the peer\n.*; waited 0\.2 s\n$/)
    assert.match((await tl('ping', 'gone', '--config', other, '--wait', '0.3')).stderr, /; waited 0\.3 s\n$/)
    assert.equal(
      codeOf(await trunkline(['ls', 'vm1:'], { env: { ...env, TRUNKLINE_CONFIG: other } })),
      'ERR_NOT_CONFIGURED',
    )
  })

  it('that nothing stands for is said so, and never dialled [R-679]', async () => {
    for (const args of [
      ['ls', 'vm9:/'],
      ['ping', 'localhost'],
      ['exec', '@vm9', '--', 'ls'],
      ['cp', 'vm9:x', 'vm1:y'],
    ]) {
      const { status, stderr } = await tl(...args)
      assert.match(stderr, /^trunkline: ERR_NOT_CONFIGURED: there is no \[peer\.\w+\] in [^\n]+config\.toml\n$/)
      assert.equal(status, args[0] === 'exec' ? 125 : 2)
    }
    assert.match((await tl('exec', '@vm2', 'ls')).stderr, /which peer\? @vm2 is a command.*exec @vm2 -- ls\n$/)
    assert.match((await tl('ping', '@vm1', '--to', 'vm2')).stderr, /both name the peer/)
    const none = await trunkline(['ls', 'vm1:'], { env: { HOME: '', XDG_CONFIG_HOME: '' } })
    assert.match(none.stderr, /ERR_NOT_CONFIGURED: .*HOME and XDG_CONFIG_HOME are not set/)
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

  it('has nothing read where the peer is an address, and nothing of the current folder', async () => {
    configure('no configuration', join(home, 'cwd/config.toml'))
    configure('no configuration', join(home, 'cwd/trunkline/config.toml'))
    configure('no configuration', join(home, 'broken.toml'))
    const broken = { HOME: home, XDG_CONFIG_HOME: './', TRUNKLINE_CONFIG: join(home, 'broken.toml') }
    assert.equal((await trunkline(['ls', ':'], { env: broken, to: addressOf('vm1') })).stderr, '')
    const relative = { HOME: '', XDG_CONFIG_HOME: '.' }
    const { stderr } = await trunkline(['ls', 'vm1:'], { env: relative, cwd: join(home, 'cwd') })
    assert.match(stderr, /ERR_NOT_CONFIGURED/)
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

/** Each path below `folder` with what it holds, its mode and its time. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name)
      const stats = statSync(path)
      const hash = stats.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'folder'
      return `${name} ${hash} ${(stats.mode & 0o7777).toString(8)} ${stats.mtimeMs}`
    })
}

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

  it('carries trees both ways, and within one peer [R-680]', async () => {
    const wanted = treeOf(tree)
    assert.equal((await tl('cp', '-r', 'vm1:tree', 'vm2:')).stderr, '')
    assert.deepEqual(treeOf(join(two, 'tree')), wanted)
    assert.equal((await tl('cp', '-r', 'vm2:tree/.', 'vm1:back')).stderr, '')
    assert.deepEqual(treeOf(join(one, 'back')), wanted)
    assert.equal((await tl('cp', '-r', 'vm1:tree', 'vm1:again')).stderr, '')
    assert.deepEqual(treeOf(join(one, 'again')), wanted)
    assert.equal((await trunkline(['cp', '-r', ':tree', 'vm1:third'], { env, to: 'vm1' })).stderr, '')
    assert.deepEqual(treeOf(join(one, 'third')), wanted)
  })

  it('names the side that fails, does the rest, and copies no tree into itself [R-680]', async () => {
    mkdirSync(join(one, 'odd'))
    symlinkSync('nowhere', join(one, 'odd/link'))
    writeFileSync(join(one, 'odd/file'), 'content')
    const odd = await tl('cp', '-r', 'vm1:odd', 'vm2:odd')
    assert.match(odd.stderr, /^trunkline: ERR_NOT_REGULAR: vm1:odd\/link: symbolic links are not copied\n$/)
    assert.equal(odd.status, 1)
    assert.equal(readFileSync(join(two, 'odd/file'), 'utf8'), 'content')
    assert.match((await tl('cp', 'vm1:none', 'vm2:x')).stderr, /ERR_NOT_FOUND: vm1:none: /)
    assert.match((await tl('cp', 'vm1:odd/file', 'vm2:no/way')).stderr, /ERR_NOT_FOUND: vm2:no\/way: /)
    assert.ok(!existsSync(join(two, 'no')))
    const self = await tl('cp', '-r', 'vm1:odd', 'vm1:odd/inside')
    assert.match(self.stderr, /ERR_PATH_INVALID: vm1:odd\/inside: it is what is copied to/)
    assert.deepEqual(readdirSync(join(one, 'odd/inside')).sort(), ['file'])
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

  it('is mv within one peer only', async () => {
    const { status, stderr } = await tl('mv', 'vm1:odd/file', 'vm2:file')
    assert.match(
      stderr,
      /ERR_BAD_ARGUMENT: vm1:odd\/file and vm2:file are at two peers, and a rename is within one: use cp, then rm\n$/,
    )
    assert.equal(status, 2)
    assert.equal((await trunkline(['mv', ':odd/file', 'vm1:odd/moved'], { env, to: '@vm1' })).stderr, '')
  })

  it('does nothing where one of the peers is not there [R-680]', async () => {
    const file = join(home, 'half.toml')
    configure(`${TWO}[peer.gone]\nto = "tcp://127.0.0.1:${await freePort()}"\n`, file)
    const { status, stderr } = await tl('mkdir', 'vm1:made', 'gone:made', '--config', file)
    assert.match(stderr, /^trunkline: ERR_CONNECT_REFUSED: [^\n]+\n$/)
    assert.equal(status, 3)
    assert.ok(!existsSync(join(one, 'made')))
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

  it('checks each address whole, with its line [R-682]', async () => {
    const file = join(home, 'address.toml')
    for (const args of [['peers'], ['ping', 'bad'], ['doctor', 'bad']]) {
      configure('# x\n[peer.bad]\nto = "tcp://127.0.0.1"\n', file)
      const { status, stderr } = await tl(...args, '--config', file)
      assert.match(stderr, /ERR_ADDRESS_INVALID: [^\n]+address\.toml:3: peer\.bad\.to: [^\n]+\n$/, args[0])
      assert.equal(status, 2)
    }
    configure('# x\n[serve.bad]\naddress = "tcp://127.0.0.1"\n', file)
    const { stderr } = await tl('serve', '@bad', '--config', file)
    assert.match(stderr, /ERR_ADDRESS_INVALID: [^\n]+address\.toml:3: serve\.bad\.address: [^\n]+\n$/)
  })

  it('add and rm change the file and nothing else of it, with mode 0600 [R-677]', async () => {
    const file = join(home, 'deep/er/config.toml')
    const change = (...args: string[]): Promise<Outcome> => tl('peers', ...args, '--config', file)
    assert.equal((await change('add', 'vm1', 'tcp://127.0.0.1:7000')).stderr, '')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.equal(statSync(join(file, '..')).mode & 0o777, 0o700)
    writeFileSync(file, `# kept\n${readFileSync(file, 'utf8')}# kept, too\n`)
    symlinkSync(file, join(home, 'link.toml'))
    const add = ['add', 'ci-*', 'vsock+unix:///run/%n?port=7', '--token-file', '/t', '--wait']
    assert.equal((await tl('peers', ...add, '--config', join(home, 'link.toml'))).stderr, '')
    const both = readFileSync(file, 'utf8')
    assert.equal(
      both,
      '# kept\n[peer.vm1]\nto = "tcp://127.0.0.1:7000"\n# kept, too\n\n' +
        '[peer."ci-*"]\nto = "vsock+unix:///run/%n?port=7"\ntoken-file = "/t"\nwait = inf\n',
    )
    assert.match((await change('add', 'vm1', 'tcp://h:1')).stderr, /ERR_EXISTS: .*--replace/)
    assert.equal((await change('add', 'vm1', 'tcp://h:1', '--replace')).stderr, '')
    assert.match(readFileSync(file, 'utf8'), /^# kept\n# kept, too\n[^]*\[peer\.vm1\]\nto = "tcp:\/\/h:1"\n$/)
    assert.match((await change('rm', 'vm1', 'vm7')).stderr, /ERR_NOT_CONFIGURED: there is no \[peer\.vm7\]/)
    assert.equal((await change('rm', 'vm1', 'ci-*')).stderr, '')
    assert.match(readFileSync(file, 'utf8'), /^# kept\n# kept, too\n\s*$/)
    assert.deepEqual(readdirSync(join(file, '..')), ['config.toml'])
  })

  it('add refuses what no command could use, and leaves the file [R-677]', async () => {
    const file = join(home, 'refused.toml')
    configure('[peer.vm1]\nto = "tcp://h:1"\n', file)
    const add = async (...args: string[]): Promise<string> =>
      (await tl('peers', 'add', ...args, '--config', file)).stderr
    assert.match(await add('tcp', 'tcp://h:1'), /ERR_BAD_ARGUMENT: tcp is a scheme/)
    assert.match(await add('a b', 'tcp://h:1'), /ERR_BAD_ARGUMENT: "a b" is no name/)
    assert.match(await add('vm2', 'h:1'), /ERR_TRANSPORT_UNKNOWN/)
    assert.match(await add('vm2', 'tcp://h'), /ERR_ADDRESS_INVALID/)
    assert.match(await add('vm2', 'exec:a\u001bb'), /ERR_BAD_ARGUMENT: .*no plain text/)
    assert.equal(readFileSync(file, 'utf8'), '[peer.vm1]\nto = "tcp://h:1"\n')
    configure('peer = { vm1 = { to = "tcp://h:1" } }\n', file)
    assert.match(await add('vm2', 'tcp://h:1'), /ERR_CONFIG_INVALID: .*only changed by hand/)
    configure('[peer.vm1]\nto = 3\nx = 1\n', file)
    const lines = (await add('vm2', 'tcp://h:1')).trimEnd().split('\n')
    assert.deepEqual(
      lines.map((line) => /refused\.toml:\d: [\w.]+/.exec(line)?.[0]),
      ['refused.toml:2: peer.vm1.to', 'refused.toml:3: peer.vm1.x'],
    )
    assert.equal(readFileSync(file, 'utf8'), '[peer.vm1]\nto = 3\nx = 1\n')
  })

  it('add of several commands at once loses none, and waits for one that hangs no longer than its time [R-683]', async () => {
    const file = join(home, 'many/config.toml')
    const names = Array.from({ length: 8 }, (_, i) => `vm${i}`)
    const all = await Promise.all(names.map((name) => tl('peers', 'add', name, 'tcp://h:1', '--config', file)))
    assert.deepEqual(all.map(({ stderr }) => stderr).join(''), '')
    assert.deepEqual((await tl('peers', '--config', file)).stdout.match(/^vm\d/gm)?.sort(), names)
    writeFileSync(`${file}.new`, '')
    const { status, stderr } = await tl('peers', 'rm', 'vm1', '--config', file)
    assert.match(
      stderr,
      /ERR_BUSY: .*config\.toml\.new: another command writes the configuration; where none does, remove/,
    )
    assert.equal(status, 1)
  })
})
