/**
 * Starting programs by a keeper each (src/native/keeper): any bytes, terminals, users and limits,
 * and a tree that can be ended whole, also when this process is killed. Linux alone, with the
 * addon.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex } from 'node:stream'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { launchFailure } from '../failures.ts'
import type { Launched, Launcher, LaunchPlan, SignalScope, Stage, TerminalSize, Tree } from '../launch.ts'
import { pipesOf } from '../spawn-pipes.ts'
import { keeperStatus, type KeeperStatus } from './find-keeper.ts'
import { KeptTree } from './kept-tree.ts'
import { makeTerminal, type Terminal } from './terminal-ends.ts'
import { encodePlan, KeeperRecords, type KeeperRecord, type KeeperStage } from './wire.ts'

/** How long a tree is asked to end where this process is gone and nobody says how long. */
const ORPHAN_GRACE_MS = 2_000

/**
 * What a stage of the keeper's is to others: making a process is limited, and a plan that it cannot
 * read is of no use.
 */
const STAGES: Readonly<Record<KeeperStage, Stage>> = {
  plan: 'execute',
  process: 'limits',
  terminal: 'terminal',
  limits: 'limits',
  user: 'user',
  directory: 'directory',
  search: 'search',
  execute: 'execute',
}

/** A launcher over keepers; undefined where there is none for this machine. */
export function keeperLauncher(found: KeeperStatus = keeperStatus()): Launcher | undefined {
  if (!('file' in found)) return undefined
  const { file } = found
  const isRoot = process.getuid?.() === 0
  return {
    tree: 'keeper',
    can: { terminal: true, user: isRoot, limits: true, merge: true, bytes: true, noNewPrivileges: true },
    launch: (plan, signal) => launch(file, plan, signal),
  }
}

async function launch(file: string, plan: LaunchPlan, signal: AbortSignal): Promise<Launched> {
  signal.throwIfAborted()
  const terminal = plan.terminal && makeTerminal(plan.terminal)
  const pipes = terminal ? undefined : pipesOf(plan)
  const stdio = terminal ? [terminal.slave, terminal.slave, terminal.slave] : (pipes?.stdio as number[])
  const drop = (): void => {
    terminal?.close()
    pipes?.drop()
  }
  let keeper: ChildProcess
  try {
    keeper = await spawned(file, [...stdio, 'pipe'])
  } catch (error) {
    drop()
    throw error
  }
  const tree = new KeptTree(keeper, keeper.stdio[3] as unknown as Duplex, new KeeperRecords())
  const giveUp = (): void => {
    tree.end(0)
  }
  signal.addEventListener('abort', giveUp)
  tree.write(encodePlan(plan, plan.graceMs ?? ORPHAN_GRACE_MS))
  const answer = await tree.answer
  signal.removeEventListener('abort', giveUp)
  if (answer?.kind === 'started' && !signal.aborted) {
    terminal?.started()
    return launchedOf(answer, tree, terminal, pipes?.streams(keeper) ?? {})
  }
  drop()
  tree.drop()
  await tree.empty
  signal.throwIfAborted()
  throw failureOf(answer)
}

/**
 * What a launch that a keeper did not make fails with; undefined is one that was gone before it
 * said anything.
 */
function failureOf(answer: KeeperRecord | undefined): TrunkError {
  if (answer?.kind !== 'failed') return launchFailure('limits', 'ENOMEM')
  const { stage, errno } = answer
  // the file was replaced while we run
  if (stage === 'plan' && errno === 'EPROTO')
    return new TrunkError(
      'ERR_UNSUPPORTED',
      'the keeper of the server is of another release: it has to be started again',
    )
  return launchFailure(STAGES[stage], errno)
}

/** Resolves when the keeper runs. */
function spawned(file: string, stdio: StdioOptions): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      reject(launchFailure('limits', (error as NodeJS.ErrnoException).code ?? '', error))
    }
    try {
      // a session of its own before it is one: a key of our terminal does not reach it
      const keeper = spawn(file, [], { stdio, env: {}, cwd: '/', detached: true })
      keeper.once('error', fail)
      keeper.once('spawn', () => {
        resolve(keeper)
      })
    } catch (error) {
      fail(error)
    }
  })
}

function launchedOf(
  { pid, tree: reach }: Extract<KeeperRecord, { kind: 'started' }>,
  tree: KeptTree,
  terminal: Terminal | undefined,
  streams: Pick<Launched, 'stdin' | 'stdout' | 'stderr'>,
): Launched {
  const launched: Launched = {
    pid,
    tree: reach satisfies Tree,
    ...streams,
    ...(terminal && { terminal }),
    ended: tree.ended,
    freed: Promise.all([streams.stdout?.closed, streams.stderr?.closed, terminal?.output.closed, tree.empty]),
    count: () => tree.count(),
    empty: () => tree.empty,
    signal(name: string, scope: SignalScope) {
      const number = (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`]
      if (number === undefined) return false
      const group = scope === 'foreground' ? (terminal?.foreground() ?? 0) : 0
      return (scope !== 'foreground' || group !== 0) && tree.signal(number, scope, group)
    },
    resize(size: TerminalSize) {
      terminal?.resize(size)
    },
    kill(graceMs) {
      tree.end(graceMs)
    },
    release() {
      tree.release()
    },
  }
  tree.onStopped = (signal) => launched.onStopped?.(signal)
  return launched
}
