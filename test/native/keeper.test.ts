/**
 * The keeper on real processes: what it starts, what it tells, and that nothing of a tree is left,
 * whoever is killed.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { encodeEnd, encodeRelease, encodeSignal } from '../../protocols/exec/keeper/wire.ts'
import { findKeeper } from '../../src/native/keeper-file.ts'
import { eventually } from '../helpers/eventually.ts'
import { childrenOf, keep, type KeeperRun, mark, marked, type PLAN, shell } from '../helpers/keeper.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const file = findKeeper() ?? ''
const skip = file === '' && 'the keeper was not built'
const isRoot = process.getuid?.() === 0
const { SIGCONT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1 } = constants.signals
const base = temporaryFolder()

/** Hides in each of the ways that there are. */
const HIDING = `
  (trap '' HUP; sleep 1000) &
  setsid sh -c 'sleep 1001 & setsid sleep 1002 & wait' &
  (setsid sh -c '(trap "" TERM HUP INT; sleep 1003; sleep 1004) & exec sleep 1005' &)
  nohup sleep 1006 >/dev/null 2>&1 &
`
/** Sleeps of HIDING. */
const HIDDEN = 6

async function hidden(run: KeeperRun, name: string): Promise<void> {
  await eventually(() => sleeps(name) === HIDDEN, 'the tree', 20_000)
  await run.answer('started')
}

function sleeps(name: string): number {
  return marked(name).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep')
    } catch {
      return false // ended meanwhile
    }
  }).length
}

describe('the keeper', { skip }, () => {
  it('tells that the program runs, how it ended and that nothing is left, and is gone [R-580]', async () => {
    const run = keep(file, shell('echo "out $0"; echo err >&2; exit 3'))
    assert.equal(await run.gone, 0)
    const { pid, tree } = await run.answer('started')
    assert.deepEqual(
      run.told.map(({ kind }) => kind),
      ['started', 'ended', 'empty'],
    )
    assert.ok(pid > 0)
    assert.equal(tree, 'keeper')
    const { code, signal, core, leftovers, maxRssKiB } = await run.answer('ended')
    assert.deepEqual({ code, signal, core, leftovers }, { code: 3, signal: 0, core: false, leftovers: 0 })
    assert.ok(maxRssKiB > 0)
    await eventually(() => run.output() === 'out sh\nerr\n', run.output())
  })

  it('passes arguments, variables and a name of its own on byte for byte', async () => {
    const argv = [[0x2d, 0x61], [0xff, 0xfe, 0x0a], [], [0x24, 0x28, 0x29, 0x27]].map((bytes) => Buffer.from(bytes))
    const env = [Buffer.from('A=b=c'), Buffer.from([0x42, 0x3d, 0x80]), Buffer.from('without')]
    const run = keep(file, { file: Buffer.from('/bin/cat'), argv: [...argv, Buffer.from('/proc/self/cmdline')], env })
    await run.gone
    // cat takes no option of the first: it is its name
    await eventually(() => run.output().includes('cmdline'), 'output')
    const environment = keep(file, {
      file: Buffer.from('/bin/cat'),
      argv: ['cat', '/proc/self/environ'].map((word) => Buffer.from(word)),
      env,
    })
    await environment.gone
    await eventually(() => environment.output().endsWith('without\0'), 'environment')
  })

  it('tells of death by a signal, and whether it left a core [X21]', async () => {
    for (const name of ['SIGTERM', 'SIGKILL', 'SIGUSR2', 'SIGPIPE', 'SIGHUP'] as const) {
      const run = keep(file, shell(`kill -${name.slice(3)} $$`))
      assert.deepEqual([await run.gone, (await run.answer('ended')).signal], [0, constants.signals[name]])
    }
  })

  it('tells where a launch failed, and leaves nothing [X22] [X23]', async () => {
    const folder = mkdtempSync(join(base, 'f-'))
    const script = (name: string, text: string, mode = 0o755) => {
      writeFileSync(join(folder, name), text, { mode })
      return Buffer.from(join(folder, name))
    }
    const busy = script('busy', readFileSync('/bin/true', 'latin1'))
    const held = openSync(busy, 'r+')
    const cases: [string, Partial<typeof PLAN>, string, string][] = [
      ['a missing file', { file: Buffer.from(join(folder, 'missing')) }, 'search', 'ENOENT'],
      ['a file below a file', { file: Buffer.from(join(folder, 'busy/x')) }, 'search', 'ENOTDIR'],
      ['a directory', { file: Buffer.from(folder) }, 'execute', 'EACCES'],
      ['a file without the bit', { file: script('plain', '#!/bin/sh\n', 0o644) }, 'execute', 'EACCES'],
      ['no interpreter', { file: script('script', '#!/no/such\n') }, 'execute', 'ENOENT'],
      ['no program', { file: script('text', 'echo hi\n') }, 'execute', 'ENOEXEC'],
      ['one that is written', { file: busy }, 'execute', 'ETXTBSY'],
      [
        'a missing directory',
        { directory: Buffer.from(join(folder, 'missing')), file: Buffer.from('/missing') },
        'directory',
        'ENOENT',
      ],
      ['too much', { argv: [Buffer.alloc(200 * 1024, 'x')] }, 'execute', 'E2BIG'],
      ['a terminal that is none', { terminal: { columns: 1, rows: 1, x: 0, y: 0, modes: {} } }, 'terminal', 'ENOTTY'],
    ]
    for (const [what, plan, stage, errno] of cases) {
      const run = keep(file, plan)
      assert.equal(await run.gone, 0, what)
      assert.deepEqual(run.told, [{ kind: 'failed', stage, errno }], what)
    }
    closeSync(held)
  })

  it('gives the program nothing of its own: signals, descriptors, session, directory [R-581]', async () => {
    const child = keep(
      file,
      {
        ...shell(
          `grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u; ls /proc/$$/fd | tr '\\n' ' '; cut -d' ' -f1,5,6 /proc/$$/stat; pwd; cat /proc/self/oom_score_adj`,
        ),
        directory: Buffer.from(base),
      },
      { more: 3 },
    )
    await child.gone
    const { pid } = await child.answer('started')
    await eventually(() => child.output().trimEnd().split('\n').length === 4, child.output())
    assert.deepEqual(child.output().trimEnd().split('\n'), [
      '0000000000000000',
      `0 1 2 ${pid} ${pid} ${pid}`,
      base,
      readFileSync('/proc/self/oom_score_adj', 'latin1').trim(),
    ])
  })

  it('ends a tree that hides, with time to end by itself, when it is told to [X15]', async () => {
    const { name, env } = mark()
    const run = keep(file, { ...shell(`${HIDING} wait`), env }, { graceMs: 60_000 })
    await hidden(run, name)
    run.control.write(encodeEnd(300))
    const started = performance.now()
    assert.equal(await run.gone, 0)
    assert.ok(performance.now() - started >= 250, 'the grace')
    assert.deepEqual(marked(name), [])
    assert.equal(run.told.at(-1)?.kind, 'empty')
  })

  it('ends a tree at once where no time is given, or a second asking takes it away [R-582]', async () => {
    for (const graces of [[0], [600_000, 0], [600_000, 60_000, 1]]) {
      const { name, env } = mark()
      const run = keep(file, { ...shell(`trap '' TERM; ${HIDING} wait; wait`), env })
      await hidden(run, name)
      for (const grace of graces) run.control.write(encodeEnd(grace))
      assert.equal(await run.gone, 0)
      assert.deepEqual(marked(name), [])
    }
  })

  it('kills what is stopped and deaf after the grace, and lets what listens end by itself [X18]', async () => {
    const { name, env } = mark()
    const deaf = keep(file, { ...shell(`trap '' HUP TERM; kill -STOP $$; while :; do sleep 1; done`), env })
    await deaf.answer('stopped')
    deaf.control.write(encodeEnd(100))
    assert.equal((await deaf.answer('ended')).signal, SIGKILL)
    await deaf.gone
    assert.deepEqual(marked(name), [])
    const good = keep(file, shell(`trap 'exit 7' TERM; kill -STOP $$; sleep 1000 & wait`))
    await good.answer('stopped')
    good.control.write(encodeEnd(60_000))
    assert.equal((await good.answer('ended')).code, 7)
    good.control.write(encodeEnd(0))
    await good.gone
  })

  it('ends the tree when the server is killed [X16]', async () => {
    const { name, env } = mark()
    const program = `
      import { keep, shell } from ${JSON.stringify(join(ROOT, 'test/helpers/keeper.ts'))}
      const run = keep(${JSON.stringify(file)}, { ...shell(${JSON.stringify(`${HIDING} wait`)}), env: ${JSON.stringify(env.map(String))}.map((text) => Buffer.from(text)) }, { graceMs: 100 })
      await run.answer('started')
      console.log(run.process.pid)
      setInterval(() => undefined, 1000)`
    const server = spawn(process.execPath, typeScript('--input-type=module', '-e', program), {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: ROOT,
    })
    const keeper = Number(String((await once(server.stdout, 'data'))[0]))
    await eventually(() => sleeps(name) === HIDDEN, 'the tree', 20_000)
    server.kill('SIGKILL')
    await eventually(() => !existsSync(`/proc/${keeper}`), 'the end of the keeper', 20_000)
    assert.deepEqual(marked(name), [])
  })

  it('lets what a command left behind live when it was released, reaps it, and is gone with it [X16]', async () => {
    const { name, env } = mark()
    const run = keep(file, { ...shell('sleep 1000 & exit 0'), env })
    assert.equal((await run.answer('ended')).leftovers, 1)
    run.control.write(encodeRelease())
    run.control.end()
    run.control.destroy()
    const [left] = marked(name)
    assert.ok(left)
    // a keeper that had ended it would have done so before it reaps this one
    process.kill(run.process.pid ?? 0, 'SIGTERM')
    await eventually(
      () => readFileSync(`/proc/${run.process.pid}/stat`, 'latin1').includes(' S '),
      'a keeper that waits',
    )
    assert.deepEqual(marked(name), [left])
    process.kill(left, 'SIGKILL')
    assert.equal(await run.gone, 0)
  })

  it('is not released by a server that asks for it while the leader runs', async () => {
    const { name, env } = mark()
    const run = keep(file, { ...shell('sleep 1000 & wait'), env }, { graceMs: 0 })
    await run.answer('started')
    run.control.end(encodeRelease())
    await run.gone
    assert.deepEqual(marked(name), [])
  })

  it('takes its leader along when it is killed itself [R-583]', async () => {
    const { name, env } = mark()
    const run = keep(file, { ...shell('exec sleep 1000'), env })
    await run.answer('started')
    run.process.kill('SIGKILL')
    assert.equal(await run.gone, 'SIGKILL')
    await eventually(() => marked(name).length === 0, 'the end of the leader')
  })

  it('ends the tree at a TERM of its own, as at the end of its server', async () => {
    const { name, env } = mark()
    const run = keep(file, { ...shell('sleep 1000 & wait'), env }, { graceMs: 60_000 })
    await run.answer('started')
    run.process.kill('SIGTERM')
    assert.equal(await run.gone, 0)
    assert.equal((await run.answer('ended')).signal, SIGTERM)
    assert.deepEqual(marked(name), [])
  })

  it('signals the leader, the group or the tree, and tells of stops [R-584]', async () => {
    const script = (own: string) => `trap 'echo ${own}' USR1; while :; do sleep 0.05; done`
    const run = keep(
      file,
      shell(
        `sh -c "${script('group').replaceAll('"', '\\"')}" & setsid sh -c "${script('tree').replaceAll('"', '\\"')}" & ${script('leader')}`,
      ),
    )
    const { pid } = await run.answer('started')
    const said = (word: string) =>
      run
        .output()
        .split('\n')
        .filter((line) => line === word).length
    await eventually(() => childrenOf(pid).length >= 2, 'the tree')
    // a trap is not set yet where a shell has only just begun: it dies by the signal then, so the
    // shells are waited for
    await eventually(() => childrenOf(pid).every((child) => caught(Number(child.split(' ')[0]))), 'the traps', 20_000)
    run.control.write(encodeSignal(SIGUSR1, 'leader'))
    await eventually(() => said('leader') === 1, 'leader')
    run.control.write(encodeSignal(SIGSTOP, 'leader'))
    await run.answer('stopped')
    run.control.write(encodeSignal(SIGCONT, 'leader'))
    await run.answer('continued')
    assert.deepEqual([said('group'), said('tree')], [0, 0])
    run.control.write(encodeEnd(0))
    await run.gone
  })
})

describe('the keeper, as root', { skip: skip || (!isRoot && 'not root') }, () => {
  /** A user of nobody's, so that its processes are the tree's alone. */
  const user = { uid: 54_321, gid: 54_322, groups: [54_322, 54_323] }

  it('becomes the user, with its groups and no others, under the limits [X24]', async () => {
    const run = keep(file, {
      ...shell('id -u; id -g; id -G; ulimit -n; ulimit -Hn; ulimit -c; grep NoNewPrivs /proc/self/status | cut -f2'),
      user,
      limits: { nofile: 77, core: 0 },
      noNewPrivileges: true,
    })
    await run.gone
    await eventually(() => run.output().endsWith('1\n'), run.output())
    assert.equal(run.output(), '54321\n54322\n54322 54323\n77\n77\n0\n1\n')
  })

  const group = '/proc/self/mounts'
  const mount = /^\S+ (\S+) cgroup2 rw/m.exec(existsSync(group) ? readFileSync(group, 'latin1') : '')?.[1]
  it(
    'puts the program into a control group, and ends that [R-588]',
    { skip: mount === undefined && 'no control groups (v2)' },
    async () => {
      const folder = join(mount ?? '', `trunkline-${process.pid}`)
      mkdirSync(folder)
      try {
        const { name, env } = mark()
        const run = keep(file, { ...shell(`${HIDING} wait`), env, controlGroup: Buffer.from(folder) })
        await hidden(run, name)
        assert.equal((await run.answer('started')).tree, 'cgroup')
        const inside = readFileSync(join(folder, 'cgroup.procs'), 'latin1').trim().split('\n').map(Number)
        assert.ok(marked(name).every((pid) => inside.includes(pid)))
        assert.ok(!inside.includes(run.process.pid ?? 0))
        run.control.write(encodeEnd(0))
        assert.equal(await run.gone, 0)
        assert.deepEqual(marked(name), [])
        assert.ok(!existsSync(folder), 'the group is removed')
      } finally {
        rmSync(folder, { force: true, recursive: true })
      }
      const lost = keep(file, { controlGroup: Buffer.from(folder) })
      await lost.gone
      assert.deepEqual(lost.told, [{ kind: 'failed', stage: 'limits', errno: 'ENOENT' }])
    },
  )
})

/** Whether the process has a handler for USR1. */
function caught(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/status`)) return true
  const [, mask = '0'] = /^SigCgt:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  const isSleep = readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep')
  return isSleep || (BigInt(`0x${mask}`) & (1n << BigInt(SIGUSR1 - 1))) !== 0n
}
