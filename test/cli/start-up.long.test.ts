/** What a command costs before it does anything, and the code that it keeps for the next time. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BINARY, serving, trunkline, type Serving } from '../helpers/command-line.ts'

/** User and system time of the children of a shell that ran `command`, in milliseconds. */
function cpuTime(command: readonly string[], env: NodeJS.ProcessEnv): number {
  const script = '"$@" >/dev/null || exit 1; times'
  const printed = execFileSync('sh', ['-c', script, 'sh', ...command], { env, encoding: 'utf8' })
  const [user = '', system = ''] = (printed.trim().split('\n')[1] ?? '').split(' ')
  const milliseconds = (text: string): number => {
    const [minutes = '0', seconds = '0'] = text.split(/m|s/)
    return Number(minutes) * 60_000 + Number(seconds) * 1000
  }
  return milliseconds(user) + milliseconds(system)
}

describe('the start of a command', () => {
  let server: Serving
  let cache: string
  let env: Record<string, string>

  before(async () => {
    cache = mkdtempSync(join(tmpdir(), 'trunkline-cache-'))
    env = { HOME: cache, XDG_CACHE_HOME: cache, NODE_OPTIONS: '', NODE_DISABLE_COMPILE_CACHE: '' }
    server = await serving(['--fs', cache])
  })

  after(async () => {
    await server.stop()
    rmSync(cache, { recursive: true, force: true })
  })

  const folder = (): string => join(cache, 'trunkline')
  const kept = (): string[] => readdirSync(folder()).map((name) => join(folder(), name))
  const list = (more: Record<string, string> = {}) =>
    trunkline(['ls', '--to', server.address, ':/'], { env: { ...env, ...more } })

  /** What a command opens and loads: files by path, modules of its own and of Node's. */
  const loadedBy = (...args: string[]): { files: string[]; own: string[]; node: string[] } => {
    const probe = join(cache, 'probe.cjs')
    writeFileSync(
      probe,
      `const fs = require('node:fs'), open = fs.openSync, read = fs.readFileSync, files = []
       fs.openSync = (...args) => (files.push(String(args[0])), open(...args))
       fs.readFileSync = (...args) => (files.push(String(args[0])), read(...args))
       process.on('exit', () => fs.writeSync(2, JSON.stringify({ files, own: Object.keys(require.cache), node: process.moduleLoadList })))`,
    )
    const command = [process.execPath, '--require', probe, BINARY, ...args]
    const printed = execFileSync('sh', ['-c', '"$@" 2>&1 >"$0"', join(cache, 'printed'), ...command], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    })
    const { files, own, node } = JSON.parse(printed) as { files: string[]; own: string[]; node: string[] }
    return { files, own: own.filter((path) => path !== probe), node }
  }
  /** The parts of the command line among them. */
  const partsOf = ({ files }: { files: string[] }): string[] =>
    files.filter((path) => path.startsWith(join(BINARY, '..')) && path !== BINARY).map((path) => basename(path))

  it('reads itself and one file beside it, and loads neither the addon nor a module of Node that it does not use [R-485]', () => {
    const loaded = loadedBy('ls', '--to', server.address, ':/')
    // what the kernel says of the process and of chance is no file to be loaded
    const files = loaded.files.filter((path) => !/^\/(proc|dev)\//.test(path))
    assert.deepEqual(files, [BINARY, join(BINARY, '..', 'main.cjs')])
    // the addon, which tells whether a line that ended was reset, is not asked after a goodbye
    assert.deepEqual(loaded.own, [BINARY])
    const needless = [
      'child_process',
      'crypto',
      'dns/promises',
      'fs/promises',
      'http',
      'perf_hooks',
      'readline',
      'v8',
      'worker_threads',
      'zlib',
    ]
    assert.deepEqual(
      needless.filter((name) => loaded.node.includes(`NativeModule ${name}`)),
      [],
    )
    assert.ok(loaded.node.includes('NativeModule net'), 'the list is not what this test takes it for')
  })

  it('reads less than 500 kB for a listing, and keeps less than 650 kB of code for it [R-870]', async () => {
    rmSync(folder(), { recursive: true, force: true })
    assert.equal((await list()).status, 0)
    const [file = ''] = kept()
    assert.equal(kept().length, 1)
    const code = statSync(file).size
    // later releases keep up to 690 kB of the same functions
    const most = process.version.startsWith('v20.') ? 650_000 : 750_000
    assert.ok(code > 100_000 && code < most, `${code} bytes of code`)
    const source = statSync(join(BINARY, '..', 'main.cjs')).size
    assert.ok(source > 100_000 && source < 500_000, `${source} bytes of source`)
  })

  it('keeps its code where only its user may write, and takes it the next time [R-486]', async () => {
    assert.equal((await list()).status, 0)
    const [file = ''] = kept()
    assert.equal(kept().length, 1)
    assert.equal(statSync(folder()).mode & 0o777, 0o700)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    const { ino } = statSync(file)
    assert.equal((await list()).status, 0)
    assert.equal(statSync(file).ino, ino, 'the second run did not take the code of the first')
  })

  it('replaces code that is damaged, and does its work all the same [R-487]', async () => {
    assert.equal((await list()).status, 0)
    const [file = ''] = kept()
    const good = readFileSync(file).byteLength
    writeFileSync(file, 'not code')
    const { status, stderr } = await list()
    assert.equal(status, 0, stderr)
    assert.ok(statSync(file).size > good / 2, 'the damaged code was left')
  })

  it('neither takes nor keeps code where others may write, nor where it is told not to [R-488]', async () => {
    assert.equal((await list()).status, 0)
    const [file = ''] = kept()
    writeFileSync(file, 'not code')
    chmodSync(folder(), 0o777)
    assert.equal((await list()).status, 0)
    assert.equal(readFileSync(file, 'latin1'), 'not code')
    chmodSync(folder(), 0o700)
    assert.equal((await list({ NODE_DISABLE_COMPILE_CACHE: '1' })).status, 0)
    assert.equal(readFileSync(file, 'latin1'), 'not code')
  })

  it('keeps at most 64 files of code [R-489]', async () => {
    rmSync(folder(), { recursive: true, force: true })
    assert.equal((await list()).status, 0)
    for (let i = 0; i < 70; i += 1) writeFileSync(join(folder(), `older-${i}`), '')
    assert.equal((await trunkline(['ping', '-c', '1', '--to', server.address], { env })).status, 0)
    assert.equal(kept().length, 64)
    assert.ok(kept().some((file) => file.endsWith('-ping')))
  })

  it('reads the files that a command needs and no other, and no network for what needs none [R-545]', () => {
    const expected = {
      ls: ['main.cjs'],
      ping: ['main.cjs'],
      cp: ['main.cjs', 'copy.cjs'],
      exec: ['main.cjs', 'exec.cjs'],
      kill: ['main.cjs', 'exec.cjs'],
      forward: ['main.cjs', 'forward.cjs'],
      peers: ['main.cjs', 'config.cjs'],
      doctor: ['main.cjs', 'rest.cjs'],
    }
    for (const [command, parts] of Object.entries(expected))
      assert.deepEqual(partsOf(loadedBy(command, '--help')), parts, command)
    const version = loadedBy('--version')
    assert.deepEqual(partsOf(version), ['main.cjs'])
    assert.ok(!version.node.includes('NativeModule net'))
  })

  it('takes at most 2.2 times the processor time of a bare Node: five times without the bundle [R-490]', () => {
    const { NODE_EXTRA_CA_CERTS: _certificates, ...rest } = process.env
    const plain = { ...rest, ...env }
    const command = [process.execPath, BINARY, 'ls', '--to', server.address, ':/']
    // once for the code to be kept
    cpuTime(command, plain)
    const [commands, bare] = [[], []] as number[][] as [number[], number[]]
    // in turns, so that whatever else the machine does meets both
    for (let i = 0; i < 9; i += 1) {
      bare.push(cpuTime([process.execPath, '-e', '0'], plain))
      commands.push(cpuTime(command, plain))
    }
    const median = (times: number[]): number => times.sort((a, b) => a - b)[4] ?? NaN
    const ratio = median(commands) / median(bare)
    assert.ok(ratio < 2.2, `${ratio.toFixed(2)} times`)
  })
})
