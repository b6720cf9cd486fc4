/**
 * The keeper under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, with each of its
 * calls failing in turn (CALL and ROOM of src/native/keeper/keeper.h): the server is told what
 * failed, or the keeper does without; nothing hangs, and nothing of the tree is left.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { encodeEnd, encodePlan, encodeSignal, KEEPER_VERSION } from '../../protocols/exec/keeper/wire.ts'
import type { LaunchPlan } from '../../protocols/exec/launch.ts'
import { findKeeper } from '../../src/native/keeper-file.ts'
import { eventually } from '../helpers/eventually.ts'
import { keep, marked, PLAN, shell } from '../helpers/keeper.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const skip = findKeeper() === undefined && 'the keeper was not built'
const sources = join(ROOT, 'src/native/keeper')
const base = temporaryFolder()

/**
 * Builds a copy of the keeper's sources, one place of them changed; gives its path. The addon's are
 * not there, so it is not made.
 */
function build(change?: { file: string; from: string; to: string }): string {
  const root = mkdtempSync(join(base, 'copy-'))
  cpSync(sources, join(root, 'src/native/keeper'), { recursive: true })
  copyFileSync(join(ROOT, 'src/native/build.mjs'), join(root, 'src/native/build.mjs'))
  if (change !== undefined) {
    const path = join(root, 'src/native/keeper', change.file)
    const text = readFileSync(path, 'utf8')
    assert.ok(text.includes(change.from), `${change.file} has no ${change.from}`)
    writeFileSync(path, text.replace(change.from, change.to))
  }
  execFileSync(process.execPath, [join(root, 'src/native/build.mjs'), '--sanitize'], { stdio: 'pipe' })
  return join(root, 'build/Sanitized/keeper')
}

/** Everything that a plan may ask for, so that every call is made. */
const user = process.getuid?.() === 0 ? { user: { uid: 54_321, gid: 54_321, groups: [54_321] } } : {}
const FULL: Partial<LaunchPlan> = { ...user, limits: { core: 0 }, umask: 0o77, niceness: 5, noNewPrivileges: true }
const TREE = `trap '' TERM; sleep 1000 & setsid sh -c 'sleep 1001 & wait' & kill -STOP $$; wait; wait`

/**
 * What is told of each call that fails, by its name and error; `works`: as if it had not; `blind`:
 * it has begun with a table of processes, and has none. Those of terminals and control groups are
 * below.
 */
const TOLD: Readonly<Record<string, string>> = {
  'body:ENOMEM': '',
  'recv:EIO': '',
  'groups:ENOMEM': 'plan ENOMEM',
  'strings:ENOMEM': 'plan ENOMEM',
  'strings:ENOMEM:2': 'plan ENOMEM',
  'subreaper:EINVAL': 'process EINVAL',
  'signalfd:EMFILE': 'process EMFILE',
  'pipe:EMFILE': 'process EMFILE',
  'fork:EAGAIN': 'process EAGAIN',
  'dup3:EBADF': 'process ECHILD',
  'close_range:EINVAL': 'process EINVAL',
  'close_range:EPERM': 'works',
  'close_range:ENOSYS': 'works',
  'setpriority:EACCES': 'limits EACCES',
  'setsid:EPERM': 'process EPERM',
  'setrlimit:EPERM': 'limits EPERM',
  'no_new_privileges:EINVAL': 'user EINVAL',
  'chdir:EACCES': 'directory EACCES',
  'parent_death:EINVAL': 'process EINVAL',
  'sigmask:EINVAL': 'process EINVAL',
  'execve:ENOMEM': 'execute ENOMEM',
  'poll:ENOMEM': 'works',
  'send:EPIPE': 'alone',
  'pidfd_open:ENOSYS': 'works',
  'pidfd_open:EPERM': 'works',
  'pidfd_open:EMFILE': 'works',
  'pidfd_send_signal:EPERM': 'works',
  'list:ENOMEM': 'blind',
  'opendir:EMFILE': 'group',
  ...(process.getuid?.() === 0
    ? {
        'setgroups:EPERM': 'user EPERM',
        'setgid:EPERM': 'user EPERM',
        'setuid:EAGAIN': 'user EAGAIN',
        'score:EACCES': 'limits EACCES',
      }
    : {}),
}
/** Made by plans of other kinds, or by root alone. */
const ELSEWHERE = ['terminal', 'fchown', 'control_group', 'setgroups', 'setgid', 'setuid', 'score']

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // its parent was faster
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH')
  }
}

describe('the keeper, sanitized', { skip, timeout: 600_000 }, () => {
  let keeper = ''
  let reports = ''
  before(() => {
    keeper = build()
    reports = mkdtempSync(join(base, 'reports-'))
  })

  /** Its sanitizers write into files: nobody has its standard error. */
  function run(file: string, plan: Partial<LaunchPlan> | Uint8Array, fault = '', folder = reports) {
    const said = `log_path=${join(folder, 'r')}`
    const env = {
      KEEPER_FAIL: fault,
      ASAN_OPTIONS: `detect_leaks=1:exitcode=99:${said}`,
      UBSAN_OPTIONS: `print_stacktrace=1:${said}`,
    }
    return keep(file, plan, { graceMs: 20, env })
  }

  /** What the sanitizers have said. */
  function said(folder = reports): string {
    return readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n')
  }

  /** `NAME:ERRNO:NTH` with the error's number. */
  const numbered = (fault: string): string => {
    const [name, errno = '', ...nth] = fault.split(':')
    return [name, constants.errno[errno as keyof typeof constants.errno], ...nth].join(':')
  }

  let count = 0
  const marking = (): { name: string; env: Buffer[] } => {
    const name = `faults-${process.pid}-${++count}`
    return { name, env: [Buffer.from(`MARK=${name}`), Buffer.from(`PATH=${process.env.PATH ?? ''}`)] }
  }

  it('has a test for every call that can fail', () => {
    const text = readdirSync(sources)
      .filter((name) => name.endsWith('.c'))
      .map((name) => readFileSync(join(sources, name), 'utf8'))
      .join('\n')
    const named = new Set([...text.matchAll(/\b(?:CALL|ROOM)\((\w+),/g)].map(([, name]) => name))
    const tested = new Set([...Object.keys(TOLD).map((fault) => fault.split(':')[0]), ...ELSEWHERE])
    assert.deepEqual([...named].sort(), [...tested].sort())
  })

  for (const [fault, told] of Object.entries(TOLD)) {
    it(`tells, or does without, where ${fault} fails`, async () => {
      const { name, env } = marking()
      const one = run(keeper, { ...FULL, ...shell(TREE), env }, numbered(fault))
      if (told === 'works' || told === 'group' || told === 'blind') {
        assert.equal((await one.answer('started')).tree, told === 'group' ? 'group' : 'keeper')
        await one.answer('stopped')
        for (const scope of ['leader', 'group', 'tree', 'foreground'] as const)
          one.control.write(encodeSignal(0, scope, 1))
        one.control.write(encodeEnd(10))
        await one.answer('ended')
      }
      // without a table of processes those in other sessions are not found, nor waited for: they
      // are this test's to end
      if (told === 'group' || told === 'blind') {
        // again and again: one of them may be forking another
        await eventually(() => {
          const left = marked(name)
          left.forEach(kill)
          return left.length === 0
        }, 'nothing of the tree is left')
      }
      if (told.includes(' ')) await one.answer('failed')
      assert.equal(await one.gone, 0)
      if (told.includes(' ')) {
        const [stage, errno] = told.split(' ')
        assert.deepEqual(one.told, [{ kind: 'failed', stage, errno }])
      }
      if (told === '' || told === 'alone') assert.deepEqual(one.told, [])
      assert.deepEqual(marked(name), [])
      assert.equal(said(), '')
    })
  }

  it('reads no plan wrongly, wherever it is cut or changed', async () => {
    const plan = Buffer.from(encodePlan({ ...PLAN, ...FULL, file: Buffer.from('/no'), env: [Buffer.from('A=b')] }, 1))
    const variants = Array.from({ length: plan.byteLength - 8 }, (_, at) => {
      const cut = Buffer.from(plan.subarray(0, 8 + at))
      cut.writeUInt32LE(at, 0)
      const changed = Buffer.from(plan)
      changed[8 + at] = 0xff
      return [cut, changed]
    }).flat()
    for (let at = 0; at < variants.length; at += 16)
      await Promise.all(
        variants.slice(at, at + 16).map(async (bytes) => {
          const one = run(keeper, bytes)
          assert.equal(await one.gone, 0)
          assert.equal(one.told[0]?.kind, 'failed')
        }),
      )
    assert.equal(said(), '')
  })

  it('tells of a control group that cannot be entered, or has too long a name', async () => {
    const folder = mkdtempSync(join(base, 'group-'))
    mkdirSync(join(folder, 'cgroup.procs'))
    for (const [group, stage, errno] of [
      [folder, 'limits', 'EISDIR'],
      [`/${'x'.repeat(5_000)}`, 'plan', 'ENAMETOOLONG'],
      [`/${'x'.repeat(4_090)}`, 'limits', 'ENAMETOOLONG'],
    ] as const) {
      const one = run(keeper, { controlGroup: Buffer.from(group) })
      assert.equal(await one.gone, 0)
      assert.deepEqual(one.told, [{ kind: 'failed', stage, errno }])
    }
    const failing = run(keeper, { controlGroup: Buffer.from(base) }, numbered('control_group:EBUSY'))
    assert.equal(await failing.gone, 0)
    assert.deepEqual(failing.told, [{ kind: 'failed', stage: 'limits', errno: 'EBUSY' }])
    assert.equal(said(), '')
  })

  // without these, silence would prove nothing
  for (const { name, told, plan, ...change } of [
    {
      name: 'a read beyond the plan',
      file: 'plan.c',
      from: 'cursor->failed || (size_t)(cursor->end - cursor->at) < length',
      to: 'cursor->failed',
      plan: Buffer.from([4, 0, 0, 0, 1, 0, 0, 0, KEEPER_VERSION, 0, 0, 0]),
      told: /heap-buffer-overflow/,
    },
    {
      name: 'memory that is never freed',
      file: 'plan.c',
      from: '  free(plan->argv);\n',
      to: '',
      plan: {},
      told: /detected memory leaks/,
    },
    {
      name: 'arithmetic without a meaning',
      file: 'wire.c',
      from: 'uint64_t number = 0;',
      to: 'uint64_t number = (uint64_t)(1 << (32 + (int)index));',
      plan: shell('kill -STOP $$'),
      // this one speaks to standard error alone, which is closed: its exit status tells
      told: 1,
    },
  ]) {
    it(`is caught with ${name}`, async () => {
      const folder = mkdtempSync(join(base, 'caught-'))
      const one = run(build(change), plan, '', folder)
      one.control.write(encodeEnd(0))
      const status = await one.gone
      if (typeof told === 'number') assert.equal(status, told)
      else assert.match(said(folder), told)
    })
  }
})
