/**
 * As whom commands run, and what the kernel holds them to; and what is refused where nothing sets
 * it.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import { spawnLauncher } from '../../../protocols/exec/launch-spawn.ts'
import type { Launcher } from '../../../protocols/exec/launch.ts'
import { execOver } from '../../../protocols/exec/server.ts'
import { execClient, type ExecClient, type ExecOptions } from '../../../protocols/exec.ts'
import type { Trunk, TrunkError } from '../../../src/index.ts'
import { eventually } from '../../helpers/eventually.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const keeper = keeperLauncher()
const open: Trunk[] = []

async function client(options: Partial<ExecOptions>, launcher = keeper as Launcher): Promise<ExecClient> {
  const pair = await trunkPair({}, { protocols: [execOver({ allow: 'any', directory: '/', ...options }, launcher)] })
  open.push(...pair)
  return execClient(pair[0])
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'resolved',
    (error: unknown) => (error as TrunkError).code,
  )

afterEach(async () => {
  for (const trunk of open.splice(0)) await trunk.close()
})

describe('what commands are held to', { skip: keeper === undefined && 'there is no keeper' }, () => {
  const shown = async (options: Partial<ExecOptions>, script: string, asked = {}): Promise<string> =>
    (await (await client(options)).run('sh', ['-c', script], asked)).stdout.trim()

  it('[R-604] has the limits of the server, or what the peer asks for where that is less', async () => {
    const script = 'ulimit -n; ulimit -Hn; ulimit -c'
    assert.equal(await shown({ limits: { nofile: 80 } }, script, { limits: { core: 0 } }), '80\n80\n0')
    assert.equal(await shown({ limits: { nofile: 80, core: 0 } }, script, { limits: { nofile: 70 } }), '70\n70\n0')
    assert.equal(await shown({ limits: { nofile: 80, core: 0 } }, script, { limits: { nofile: 90 } }), '80\n80\n0')
    const slow = await client({ limits: { cpu: 1 } })
    assert.equal((await slow.run('sh', ['-c', 'while :; do :; done'])).signal, 'KILL')
  })

  it('[R-605] has the niceness and the mask of the server, and gains no rights unless it may', async () => {
    const script = 'umask; nice; grep NoNewPrivs /proc/self/status | cut -f2'
    assert.equal(await shown({ umask: 0o27, nice: 7, noNewPrivileges: true }, script), '0027\n7\n1')
    const isRoot = process.getuid?.() === 0
    assert.equal(
      await shown({ umask: 0 }, 'umask; grep NoNewPrivs /proc/self/status | cut -f2'),
      `0000\n${isRoot ? 0 : 1}`,
    )
    assert.equal(await shown({ noNewPrivileges: false }, 'grep NoNewPrivs /proc/self/status | cut -f2'), '0')
  })

  const mounts = '/proc/self/mounts'
  const mount = /^\S+ (\S+) cgroup2 rw/m.exec(existsSync(mounts) ? readFileSync(mounts, 'latin1') : '')?.[1]
  it(
    '[R-606] runs in a control group of its own, which is removed when nothing is left',
    { skip: mount === undefined && 'no control groups (v2)' },
    async () => {
      const path = join(mount ?? '', `trunkline-bounds-${process.pid}`)
      mkdirSync(path)
      const groups = () => readdirSync(path).filter((name) => name.startsWith('trunkline-'))
      try {
        const vm = await client({ cgroup: { path }, killGraceMs: 0 })
        const command = await vm.start('sleep', ['1000'], { stdout: 'none', stderr: 'none' })
        const [group = ''] = groups()
        assert.equal(readFileSync(join(path, group, 'cgroup.procs'), 'latin1').trim(), String(command.pid))
        command.kill()
        await eventually(() => groups().length === 0, 'the group is removed')
        assert.equal(await codeOf(vm.run('no-such-program')), 'ERR_COMMAND_NOT_FOUND')
        assert.equal(await codeOf(vm.run('/etc/passwd')), 'ERR_NOT_EXECUTABLE')
        const hasPids = readFileSync(join(path, 'cgroup.controllers'), 'latin1').includes('pids')
        const few = await client({ cgroup: { path, processes: 1 } })
        // a controller that is not delegated is a ceiling that would not hold
        assert.equal(await codeOf(few.run('true')), hasPids ? 'resolved' : 'ERR_PROCESS_LIMIT')
        await eventually(() => groups().length === 0, 'no group is left')
      } finally {
        rmdirSync(path)
      }
    },
  )
})

const isRoot = process.getuid?.() === 0
describe('as whom commands run', { skip: (keeper === undefined || !isRoot) && 'no keeper, or not root' }, () => {
  it('becomes the user that the peer asks for, with its groups, home and pipes [X24]', async () => {
    const vm = await client({ users: ['nobody', 'daemon', 'no-such-user'], directory: '/' })
    for (const name of ['nobody', 'daemon']) {
      const { stdout } = await vm.run('sh', ['-c', 'id -un; id -G; echo $USER $HOME'], { user: name })
      const groups = execFileSync('id', ['-G', name], { encoding: 'utf8' }).trim()
      const home = execFileSync('getent', ['passwd', name], { encoding: 'utf8' }).split(':')[5]
      assert.equal(stdout, `${name}\n${groups}\n${name} ${home}\n`)
    }
    // the first of them where nobody is asked for: never this process's own by accident
    assert.equal((await vm.run('id', ['-un'])).stdout, 'nobody\n')
    assert.equal((await vm.run('cat', ['/dev/stdin'], { stdin: 'opened by its name' })).stdout, 'opened by its name')
    assert.equal(await codeOf(vm.run('true', [], { user: 'no-such-user' })), 'ERR_USER_UNKNOWN')
    assert.equal(await codeOf(vm.run('true', [], { user: userInfo().username })), 'ERR_DENIED')
    const hidden = await vm.run('grep', ['NoNewPrivs:.1', '/proc/self/status'])
    assert.equal(hidden.code, 0)
  })
})

describe('what nothing sets', () => {
  it('[R-607] is refused where there is no keeper, and never left out', async () => {
    const spawn = spawnLauncher()
    for (const options of [
      { limits: { nofile: 10 } },
      { nice: 1 },
      { umask: 0 },
      { cgroup: { path: '/sys/fs/cgroup/x' } },
      { noNewPrivileges: true },
      { users: ['nobody'] },
    ] satisfies Partial<ExecOptions>[])
      assert.throws(() => execOver({ allow: 'any', ...options }, spawn), { code: 'ERR_UNSUPPORTED' })
    const own = userInfo().username
    const vm = await client({ users: [own], limits: {} }, spawn)
    assert.equal(await codeOf(vm.run('true', [], { limits: { nofile: 10 } })), 'ERR_UNSUPPORTED')
    assert.equal(await codeOf(vm.run('true', [], { user: 'nobody' })), 'ERR_DENIED')
    assert.equal((await vm.run('true', [], { user: own })).code, 0)
  })

  it('is told from options that make no sense', () => {
    for (const options of [
      { limits: { nofile: -1 } },
      { limits: { files: 1 } as never },
      { nice: 20 },
      { umask: 0o1000 },
      { cgroup: { path: 'here' } },
      { cgroup: { path: '/x', processes: 0 } },
      { users: [] },
      { users: [''] },
      { noNewPrivileges: 1 as never },
    ] satisfies Partial<ExecOptions>[])
      assert.throws(() => execOver({ allow: 'any', ...options }, spawnLauncher()), { code: 'ERR_BAD_ARGUMENT' })
  })
})
