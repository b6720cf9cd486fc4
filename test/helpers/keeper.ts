/**
 * A keeper with nobody but the test behind it: what it is told, what it tells, and what there is of
 * its tree.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import type { LaunchPlan } from '../../protocols/exec/launch.ts'
import { encodePlan, KeeperRecords, type KeeperRecord } from '../../protocols/exec/keeper/wire.ts'
import { eventually } from './eventually.ts'
import { endWithTests } from './left-children.ts'

/** What is started where a test says no more. */
export const PLAN: LaunchPlan = {
  file: Buffer.from('/bin/sh'),
  argv: [Buffer.from('sh')],
  env: [Buffer.from(`PATH=${process.env.PATH ?? ''}`)],
  directory: Buffer.from('/'),
  stdin: 'none',
  stdout: 'none',
  stderr: 'none',
  noNewPrivileges: false,
}

/** One kind of what a keeper tells. */
export type KeeperAnswer<Kind extends KeeperRecord['kind']> = Extract<KeeperRecord, { kind: Kind }>

export interface KeeperRun {
  readonly process: ChildProcess
  /** The keeper's end of the socket is the process's; this is the server's. */
  readonly control: Duplex
  /** All that it has told so far. */
  readonly told: readonly KeeperRecord[]
  /** What the command has written, all of its streams. */
  output(): string
  /** Resolves with the first record of that kind, once it is there. */
  answer<Kind extends KeeperRecord['kind']>(kind: Kind): Promise<KeeperAnswer<Kind>>
  /** Resolves with the keeper's exit status, or the signal that ended it. */
  readonly gone: Promise<number | string>
}

/** `sh -c script`. */
export function shell(script: string): Pick<LaunchPlan, 'argv'> {
  return { argv: ['sh', '-c', script].map((word) => Buffer.from(word)) }
}

/** Starts `file` (the keeper) and gives it a plan, or the bytes that stand for one. */
export function keep(
  file: string,
  plan: Partial<LaunchPlan> | Uint8Array,
  {
    graceMs = 2_000,
    env = {},
    more = 0,
  }: {
    graceMs?: number
    env?: NodeJS.ProcessEnv
    /** Descriptors that it inherits beside its own. */ more?: number
  } = {},
): KeeperRun {
  const child = spawn(file, [], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...Array.from({ length: more }, () => 'pipe' as const)],
    env,
    detached: true,
  })
  endWithTests(child)
  const control = child.stdio[3] as unknown as Duplex
  const told: KeeperRecord[] = []
  const chunks: Buffer[] = []
  const records = new KeeperRecords()
  control.on('data', (chunk: Buffer) => told.push(...records.push(chunk)))
  // a keeper that is gone takes no more; what it has told says the rest
  control.on('error', () => undefined)
  for (const stream of [child.stdout, child.stderr] as Readable[])
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  control.write(plan instanceof Uint8Array ? plan : encodePlan({ ...PLAN, ...plan }, graceMs))
  let isGone = false
  const gone = once(child, 'exit').then(([code, signal]) => {
    isGone = true
    return (code ?? signal) as number | string
  })
  return {
    process: child,
    control,
    told,
    gone,
    output: () => Buffer.concat(chunks).toString(),
    async answer(kind) {
      const find = () => told.find((record) => record.kind === kind)
      await eventually(() => find() !== undefined || (isGone && control.readableEnded), `${kind} of a keeper`, 20_000)
      const found = find()
      if (found === undefined) throw new Error(`the keeper has told ${JSON.stringify(told)}, and nothing of ${kind}`)
      return found as never
    },
  }
}

/**
 * Processes whose environment has the variable MARK with this value: all that came of a command,
 * wherever they have gone. Zombies have none.
 */
export function marked(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => textOf(`/proc/${pid}/environ`).split('\0').includes(`MARK=${mark}`))
}

/** The children of a process, zombies as well: `pid state`. */
export function childrenOf(parent: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => textOf(`/proc/${pid}/stat`))
    .filter((stat) => stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(parent))
    .map((stat) => `${stat.split(' ')[0]} ${stat.slice(stat.lastIndexOf(')') + 2)[0]}`)
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // it is gone, or somebody else's
    return ''
  }
}

const PATH = Buffer.from(`PATH=${process.env.PATH ?? ''}`)
let marks = 0
/** A name that the processes of one tree have in their environment. */
export function mark(): { name: string; env: Buffer[] } {
  const name = `${process.pid}-${++marks}`
  return { name, env: [PATH, Buffer.from(`MARK=${name}`)] }
}
