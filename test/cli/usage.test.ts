/** What the command says about itself, and what it answers to wrong usage. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { trunkline } from '../helpers/command-line.ts'
import { freePort } from '../helpers/loopback.ts'

const COMMANDS = [
  'serve',
  'ls',
  'cat',
  'stat',
  'mkdir',
  'rm',
  'mv',
  'cp',
  'exec',
  'forward',
  'ping',
  'status',
  'doctor',
  'bench',
  'peers',
  'demo',
] as const
/** A screen has no room for them; the help of `exec` names them. */
const HIDDEN = ['shell', 'ps', 'attach', 'logs', 'wait', 'kill', 'forget'] as const

/** A terminal's rows and columns that help has to fit into. */
const ROWS = 24
const COLUMNS = 96

/** Without a process of its own, which is most of the time that a command takes. */
async function inProcess(args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const { context, stdout, stderr } = capturedContext()
  const status = await run(args, context)
  return { status, stdout: stdout(), stderr: stderr() }
}

describe('help', () => {
  for (const command of [undefined, ...COMMANDS, ...HIDDEN]) {
    it(`of ${command ?? 'trunkline'} fits a screen and shows one example`, async () => {
      const { status, stdout, stderr } = await inProcess(command === undefined ? ['--help'] : [command, '--help'])
      assert.equal(status, 0)
      assert.equal(stderr, '')
      const lines = stdout.trimEnd().split('\n')
      assert.ok(lines.length < ROWS, `${lines.length} lines`)
      for (const line of lines) assert.ok(line.length <= COLUMNS, line)
      assert.equal(lines.filter((line) => line.startsWith('Example:')).length, 1)
      assert.equal(lines.filter((line) => line.startsWith('  $ trunkline ')).length, 1)
    })
  }

  it('names every command', async () => {
    const { status, stdout } = await trunkline(['--help'])
    assert.equal(status, 0)
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^ {2}${command} `, 'm'))
  })

  it('of exec names the commands that the list has no room for', async () => {
    const { stdout } = await inProcess(['exec', '--help'])
    for (const command of HIDDEN) assert.match(stdout, new RegExp(`\\b${command}\\b`))
  })

  it('has a version, that of the package', async () => {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    const { status, stdout } = await trunkline(['--version'])
    assert.equal(status, 0)
    assert.equal(stdout, `${manifest.version}\n`)
  })
})

describe('wrong usage', () => {
  const wrong: readonly (readonly string[])[] = [
    ['no-such-command'],
    ['ls', '--no-such-option'],
    ['cat'],
    ['cat', 'no-colon'],
    ['ls', ':/'],
    ['ls', '--to', 'no-scheme', ':/'],
    ['ls', '--to', 'carrier-pigeon://loft:1', ':/'],
    ['cp', 'here', 'here-too'],
    ['cp', ':there', ':there-too'],
    ['cp', '-', '-'],
    ['cp', '-r', '-', ':x'],
    ['cp', ':only-one'],
    ['mv', ':a', 'b'],
    ['mv', ':/', ':b'],
    ['ping', '-c', '0'],
    ['ping', '-c', 'many'],
    ['bench', '--seconds', '0'],
    ['bench', '--seconds', '61'],
    ['bench', '--seconds', 'many'],
    ['forward'],
    ['forward', '-L', '80'],
    ['forward', '-L', '80:host:99999'],
    ['forward', '-R', '70000:host:80'],
    ['serve'],
    ['serve', 'tcp://127.0.0.1:0', '--connect', 'no-port'],
    ['serve', 'tcp://127.0.0.1:99999'],
  ]
  for (const args of wrong) {
    it(`exits 2 with one line: trunkline ${args.join(' ')}`, async () => {
      const { status, stdout, stderr } = await inProcess(args)
      assert.equal(stdout, '')
      assert.match(stderr, /^trunkline: ERR_[A-Z_]+: [^\n]+\n$/)
      assert.equal(status, 2)
    })
  }

  it('exits 2 as a process, too', async () => {
    const { status, stdout, stderr } = await trunkline(['ls', '--no-such-option'])
    assert.equal(stdout, '')
    assert.equal(stderr, "trunkline: ERR_BAD_ARGUMENT: unknown option '--no-such-option'; see --help\n")
    assert.equal(status, 2)
  })

  it('shows the help and exits 2 without a command', async () => {
    const { status, stdout, stderr } = await trunkline([])
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^Usage: trunkline /)
  })
})

describe('no session', () => {
  it('exits 3 when nobody listens', async () => {
    const { status, stderr } = await trunkline(['ping', '--to', `tcp://127.0.0.1:${await freePort()}`])
    assert.match(stderr, /^trunkline: ERR_CONNECT_REFUSED: [^\n]+\n$/)
    assert.equal(status, 3)
  })

  it('exits 3 when the line ends before the hello', async () => {
    const { status, stderr } = await trunkline(['ping', '--to', 'exec:true'])
    assert.match(stderr, /^trunkline: ERR_[A-Z_]+: [^\n]+\n$/)
    assert.equal(status, 3)
  })
})
