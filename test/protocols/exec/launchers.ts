/**
 * The ways to start programs that this machine has, each held to the same tests; and plans for
 * them.
 */
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import { spawnLauncher } from '../../../protocols/exec/launch-spawn.ts'
import { loadNative } from '../../../src/native/load.ts'
import { processRow } from '../../../protocols/exec/process-table.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import type { Launcher, LaunchPlan, ProgramOutput } from '../../../protocols/exec/launch.ts'

/** One of them; `skip` says why it cannot be had here. */
export interface LauncherKind {
  readonly kind: string
  readonly make: (clock?: Clock) => Launcher
  readonly skip?: string | false
  /** Standard streams are pipes of the kernel's, or terminals: not the sockets of Node's. */
  readonly pipes: boolean
}

const keeper = keeperLauncher()

export const LAUNCHERS: readonly LauncherKind[] = [
  { kind: 'spawn', make: (clock) => spawnLauncher(clock), pipes: loadNative() !== undefined },
  {
    kind: 'keeper',
    make: () => keeper as Launcher,
    skip: keeper === undefined && 'there is no keeper, or no addon',
    pipes: true,
  },
]

/** A plan for `/bin/sh -c script`, with what is to be otherwise. */
export function shPlan(script: string, rest: Partial<LaunchPlan> = {}): LaunchPlan {
  return {
    file: Buffer.from('/bin/sh'),
    argv: ['sh', '-c', script].map((text) => Buffer.from(text)),
    env: [Buffer.from('PATH=/usr/bin:/bin')],
    directory: Buffer.from('/'),
    stdin: 'none',
    stdout: 'pipe',
    stderr: 'pipe',
    noNewPrivileges: false,
    ...rest,
  }
}

/** All that is written, to the end. */
export async function allOf(output: ProgramOutput | undefined): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (let chunk; (chunk = await output?.read()) !== undefined;) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

/** True while a process of that number is alive: a zombie is not. */
export function isAlive(pid: number): boolean {
  return processRow(pid) !== undefined
}
