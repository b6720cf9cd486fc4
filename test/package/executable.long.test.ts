/**
 * The command line as one executable file, used where there is nothing else: no environment, no
 * Node beside it, an empty folder that is not to be written.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serving, trunkline, type Outcome, type RunOptions, type Serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { buildExecutable, type Executable } from '../helpers/executable.ts'
import { ptyPair } from '../helpers/pty.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const skip = process.platform === 'linux' ? false : 'the executable is for Linux'

describe('the executable', { skip }, () => {
  const home = temporaryFolder()
  const [empty, files, temporary] = ['empty', 'files', 'temporary'].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ]
  let made: Executable
  let options: RunOptions

  before(async () => {
    for (const folder of [empty, files, temporary]) mkdirSync(folder)
    chmodSync(empty, 0o555)
    writeFileSync(join(files, 'words'), 'some words\n')
    made = await buildExecutable()
    options = { executable: made.path, cwd: empty, env: { TMPDIR: temporary } }
  })

  after(() => {
    // undefined where it was not made
    ;(made as Executable | undefined)?.remove()
  })

  const run = (...args: string[]): Promise<Outcome> => trunkline(args, options)

  async function done(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await run(...args)
    assert.equal(status, 0, stderr)
    return stdout
  }

  /** `job` with a server that is the executable, too. */
  async function withServer(address: string, job: (server: Serving) => Promise<void>): Promise<void> {
    const server = await serving(['--fs', files, '--connect', 'any'], address, options)
    try {
      await job(server)
    } finally {
      await server.stop()
    }
  }

  /** Lists, and copies both ways. */
  async function useFiles(to: string): Promise<void> {
    assert.equal(await done('ls', '--to', to, ':/'), 'words\n')
    await done('cp', '--to', to, ':/words', join(home, 'fetched'))
    assert.equal(readFileSync(join(home, 'fetched'), 'utf8'), 'some words\n')
    await done('cp', '--to', to, join(home, 'fetched'), ':/sent')
    assert.equal(readFileSync(join(files, 'sent'), 'utf8'), 'some words\n')
    await done('rm', '--to', to, ':/sent')
  }

  /** What the process runs of files that have no name any more: the addons. */
  function codeWithoutName(pid: number | undefined): number {
    const maps = readFileSync(`/proc/${String(pid)}/maps`, 'utf8').split('\n')
    return new Set(maps.flatMap((line) => /^\S+ r-xp .* (\d+) +\/\S+ \(deleted\)$/.exec(line)?.[1] ?? [])).size
  }

  it('says its version and its help, and nothing else [R-535]', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    const { stdout, stderr } = await run('--version')
    assert.deepEqual({ stdout, stderr }, { stdout: `${version}\n`, stderr: '' })
    assert.match(await done('--help'), /^Usage: trunkline COMMAND/)
  })

  it('serves, lists and copies over a unix socket [R-536]', async () => {
    await withServer(`unix://${join(home, 'socket')}`, async ({ address }) => await useFiles(address))
  })

  it('serves, lists and copies over a pair of terminals, with both addons, of which it leaves no file [R-537]', async () => {
    const pair = await ptyPair()
    try {
      await withServer(`serial://${pair.far}`, async ({ running }) => {
        await useFiles(`serial://${pair.near}`)
        await eventually(() => codeWithoutName(running.child.pid) === 2, 'two addons that have no name')
      })
    } finally {
      await pair.close()
    }
    assert.deepEqual(readdirSync(temporary), [])
    assert.deepEqual(readdirSync(empty), [])
  })

  it('finds another folder for its addons where the temporary one takes no file [R-538]', async () => {
    const pair = await ptyPair()
    const before = options
    options = { ...options, env: { TMPDIR: join(home, 'missing') } }
    try {
      await withServer(`serial://${pair.far}`, async () => await useFiles(`serial://${pair.near}`))
    } finally {
      options = before
      await pair.close()
    }
  })

  it('starts itself again for the demo [R-539]', async () => {
    const said = await trunkline(['demo'], options)
    assert.equal(said.status, 0, said.stderr)
  })

  it('is not made of a binary that takes no program, or has one already [R-540]', async () => {
    await assert.rejects(buildExecutable('--node', '/bin/sh'), /is no Node that takes a program inside/)
    await assert.rejects(buildExecutable('--node', made.path), /has a program inside already/)
    rmSync(join(home, 'fetched'), { force: true })
  })
})
