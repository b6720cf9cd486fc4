/**
 * What the kernel is to hold a command to: resource limits, niceness, the file mode mask, a control
 * group, and no rights that a set-user-id bit would give.
 */
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { freshBytes } from '../../src/runtime/fresh-bytes.ts'
import { launchFailure } from './failures.ts'
import type { Launcher, LaunchLimits, LaunchPlan } from './launch.ts'

/** A control group (v2) that is the server's to divide. */
export interface ControlGroupOptions {
  /** Its folder, `/sys/fs/cgroup/…`: each command gets a group of its own in it. */
  readonly path: string
  /** `memory.max` of each command, in bytes. @default none */
  readonly memoryBytes?: number
  /** `pids.max` of each command: processes and threads. @default none */
  readonly processes?: number
}

/** What all commands of a server are held to. */
export interface BoundsOptions {
  /** Ceilings, and what holds where a peer asks for nothing. */
  readonly limits?: LaunchLimits
  readonly nice?: number
  readonly umask?: number
  readonly cgroup?: ControlGroupOptions
  readonly noNewPrivileges?: boolean
}

/** Part of a plan. */
export type Bounded = Pick<LaunchPlan, 'limits' | 'niceness' | 'umask' | 'controlGroup' | 'noNewPrivileges'>

/** Names of limits, as `ulimit` and systemd have them. */
const LIMIT_NAMES: readonly (keyof LaunchLimits)[] = ['nofile', 'nproc', 'as', 'cpu', 'fsize', 'core']
const MAX_PROCESSES = 4_194_304

export class Bounds {
  readonly #options: BoundsOptions
  readonly #limits: LaunchLimits
  readonly #can: Launcher['can']
  readonly #noNewPrivileges: boolean

  /** Throws ERR_BAD_ARGUMENT, and ERR_UNSUPPORTED for what the launcher does not do. */
  constructor(options: BoundsOptions, can: Launcher['can'], haveRoot: boolean) {
    const { limits = {}, nice, umask, cgroup, noNewPrivileges } = options
    this.#options = options
    this.#can = can
    this.#limits = requireLimits(limits)
    if (nice !== undefined) requireInteger('nice', nice, -20, 19)
    if (umask !== undefined) requireInteger('umask', umask, 0, 0o777)
    if (cgroup !== undefined) requireGroup(cgroup)
    if (noNewPrivileges !== undefined && typeof noNewPrivileges !== 'boolean')
      throw badArgument('noNewPrivileges is true or false')
    const kernels = { limits: Object.keys(limits).length > 0, nice: nice !== undefined, umask: umask !== undefined }
    for (const [name, isAsked] of Object.entries({ ...kernels, cgroup: cgroup !== undefined }))
      if (isAsked && !can.limits) throw unsupported(name)
    if (noNewPrivileges === true && !can.noNewPrivileges) throw unsupported('noNewPrivileges')
    // by sudo root becomes others, which the bit would forbid
    this.#noNewPrivileges = can.noNewPrivileges && (noNewPrivileges ?? !haveRoot)
  }

  /**
   * Of one command that asks for `limits`. What it makes is removed by the launch, or by {@link
   * giveUp}. Throws what a launch that fails at its limits throws.
   */
  of(limits: LaunchLimits | undefined): Bounded {
    if (limits !== undefined && !this.#can.limits) throw unsupported('limits')
    const all = lowest(this.#limits, limits ?? {})
    const { nice, umask, cgroup } = this.#options
    return {
      ...(Object.keys(all).length > 0 && { limits: all }),
      ...(nice !== undefined && { niceness: nice }),
      ...(umask !== undefined && { umask }),
      ...(cgroup !== undefined && { controlGroup: makeGroup(cgroup) }),
      noNewPrivileges: this.#noNewPrivileges,
    }
  }

  /** The launch has failed: whoever should have removed the group may not have run. */
  giveUp({ controlGroup }: Bounded): void {
    if (controlGroup !== undefined) removeGroup(Buffer.from(controlGroup))
  }
}

/** Of each what is less. */
function lowest(ceilings: LaunchLimits, asked: LaunchLimits): LaunchLimits {
  const all: Partial<Record<keyof LaunchLimits, number>> = {}
  for (const name of LIMIT_NAMES) {
    const values = [ceilings[name], asked[name]].filter((value) => value !== undefined)
    if (values.length > 0) all[name] = Math.min(...values)
  }
  return all
}

function requireLimits(limits: LaunchLimits): LaunchLimits {
  for (const [name, value] of Object.entries(limits)) {
    if (!(LIMIT_NAMES as readonly string[]).includes(name)) throw badArgument(`limits have no ${name}`)
    // undefined is what a caller without strict types gives for 'not set'
    if (value !== undefined) requireInteger(`limits.${name}`, value, 0, Number.MAX_SAFE_INTEGER)
  }
  return limits
}

function requireGroup({ path, memoryBytes, processes }: ControlGroupOptions): void {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0'))
    throw badArgument('cgroup.path is the absolute path of a control group')
  if (memoryBytes !== undefined) requireInteger('cgroup.memoryBytes', memoryBytes, 1, Number.MAX_SAFE_INTEGER)
  if (processes !== undefined) requireInteger('cgroup.processes', processes, 1, MAX_PROCESSES)
}

function makeGroup({ path, memoryBytes, processes }: ControlGroupOptions): Buffer {
  const group = Buffer.from(`${path}/trunkline-${Buffer.from(freshBytes(8)).toString('hex')}`)
  const set = (file: string, value: number | undefined): void => {
    // none is made: a file that is missing is a controller that was not delegated
    if (value !== undefined) writeFileSync(Buffer.concat([group, Buffer.from(file)]), String(value), { flag: 'r+' })
  }
  try {
    mkdirSync(group)
    set('/memory.max', memoryBytes)
    set('/pids.max', processes)
    return group
  } catch (error) {
    removeGroup(group)
    throw launchFailure('limits', (error as NodeJS.ErrnoException).code ?? '', error)
  }
}

function removeGroup(group: Buffer): void {
  try {
    rmdirSync(group)
  } catch {
    // it is gone, or somebody is in it whose keeper removes it
  }
}

function unsupported(what: string): TrunkError {
  return new TrunkError('ERR_UNSUPPORTED', `${what}: this server starts commands without a keeper, which sets that`)
}
