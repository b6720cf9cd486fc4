/** Peers by their names, at length: two servers on unix sockets, and the real command line. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
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
import { before, describe, it } from 'node:test'
import { start, trunkline, type Outcome } from '../helpers/command-line.ts'
import { freePort } from '../helpers/loopback.ts'
import { makeFifo } from '../helpers/raw-command.ts'
import { addressOf, configure, env, home, one, servePeers, tl, two, TWO } from './peers-bed.ts'

servePeers()

describe('the name of a peer', () => {
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

describe('peers', () => {
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

  it('add --replace keeps what no option of it says, and the file its mode and group [R-826]', async () => {
    const file = join(home, 'kept.toml')
    const section = '[peer.vm1]\nto = "tcp://h:1"\nwait = 3\nforward = ["-L 1:h:2"]\n[peer.vm1.exec]\ncwd = "/x"\n'
    configure(`${section}# kept\n[peer.vm2]\nto = "tcp://h:2"\n`, file)
    chmodSync(file, 0o640)
    const group = statSync(file).gid + (process.getuid?.() === 0 ? 1 : 0)
    chownSync(file, statSync(file).uid, group)
    assert.equal((await tl('peers', 'add', 'vm1', 'tcp://h:3', '--replace', '--config', file)).stderr, '')
    const { mode, gid } = statSync(file)
    assert.deepEqual([mode & 0o777, gid], [0o640, group])
    assert.equal(
      readFileSync(file, 'utf8'),
      '# kept\n[peer.vm2]\nto = "tcp://h:2"\n\n' +
        '[peer.vm1]\nto = "tcp://h:3"\nforward = [ "-L 1:h:2" ]\n\n[peer.vm1.exec]\ncwd = "/x"\n',
    )
  })

  it('--check has one limit over all that it does with a peer [R-827]', async () => {
    const file = join(home, 'late.toml')
    const fifo = makeFifo()
    const to = `to = "${addressOf('vm1')}"`
    configure(`[peer.late]\n${to}\ntoken-file = "${fifo}"\n[peer.there]\n${to}\n`, file)
    const { stdout, status } = await tl('peers', '--check', '--config', file)
    assert.match(stdout, /^late +\S+ +ERR_CONNECT_TIMEOUT\nthere +\S+ +there, /)
    assert.equal(status, 1)
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
