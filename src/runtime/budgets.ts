/**
 * What the trunks of a process, or of one server, share: memory for reading ahead, jobs of the
 * thread pool, descriptors, receive windows and their growth, lookups of names. A limit of one
 * trunk says nothing of a hundred trunks; these bound them together, and share fairly between peers
 * (fair-budget.ts).
 */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { systemClock, type Clock } from './clock.ts'
import { badArgument, TrunkError } from '../contracts/errors.ts'
import { FairBudget, type Share } from './fair-budget.ts'
import { requireInteger } from '../contracts/limits.ts'
import type { Budgets, BudgetSizes, BudgetsStatus, BudgetStatus, Trunk } from '../contracts/types.ts'

const MIB = 2 ** 20

/** What each may be set to, smallest and largest. */
export const BUDGET_BOUNDS: Readonly<Record<keyof BudgetSizes, readonly [min: number, max: number]>> = {
  transferBytes: [MIB, 2 ** 40],
  readAheadBytes: [0, 2 ** 40],
  poolJobs: [1, 1024],
  descriptors: [128, 10_000_000],
  windowBytes: [0, 2 ** 40],
  inboxBytes: [MIB, 2 ** 40],
  lookups: [1, 1024],
}

/** How long somebody waits for memory or for a thread before it is told that there is none. */
const WAIT_MS = 30_000
/**
 * One part in so many is kept for peers that have nothing: for one listing or piece, and for one
 * operation.
 */
const RESERVE = 8
const LEAST_TRANSFER_BYTES = 48 * 1024
const LEAST_DESCRIPTORS = 4
const LEAST_INITIAL_WINDOWS = 256 * 1024
/**
 * A session's initial windows are such that this many of its pipes fit into what is free when it
 * begins ...
 */
const PIPES_AT_FIRST = 256
/** ... but no smaller than this. */
const LEAST_WINDOW_BYTES = 4 * 1024
/** Of each budget, how many peers its status names. */
const MAX_NAMED = 16

/** What one trunk takes its parts by. */
export interface Account {
  readonly transfers: Share
  readonly readAhead: Share
  readonly jobs: Share
  readonly descriptors: Share
  readonly windows: Share
  readonly initialWindows: Pick<Share, 'take' | 'give'>
  readonly lookups: Share
  /** Nobody waits any more. */
  end(error: TrunkError): void
}

export class SharedBudgets implements Budgets {
  readonly #transfers: FairBudget
  readonly #readAhead: FairBudget
  readonly #jobs: FairBudget
  readonly #descriptors: FairBudget
  readonly #windows: FairBudget
  readonly #inboxes: FairBudget
  readonly #lookups: FairBudget

  constructor(sizes: Partial<BudgetSizes> = {}, clock: Clock = systemClock) {
    const { transferBytes, readAheadBytes, poolJobs, descriptors, lookups, ...windows } = resolveSizes(sizes)
    const budget = (max: number, refusal: () => TrunkError, minimum = 0): FairBudget => {
      const reserve = minimum > 0 ? Math.floor(max / RESERVE) : 0
      return new FairBudget({ max, reserve, minimum, clock, waitMs: WAIT_MS, refusal })
    }
    this.#transfers = budget(transferBytes, noMemory, LEAST_TRANSFER_BYTES)
    this.#readAhead = budget(readAheadBytes, noMemory)
    this.#jobs = budget(poolJobs, noThread)
    this.#descriptors = budget(descriptors, noDescriptor, LEAST_DESCRIPTORS)
    this.#windows = budget(windows.windowBytes, noMemory)
    this.#inboxes = budget(windows.inboxBytes, noMemory, LEAST_INITIAL_WINDOWS)
    this.#lookups = budget(lookups, noLookup)
  }

  /**
   * The account of one more trunk: `peer` is whose it is (strangers.ts), empty where its line has
   * no addresses.
   */
  open(peer: string, trunk: Trunk): Account {
    const transfers = this.#transfers.open(peer)
    const readAhead = this.#readAhead.open(peer)
    const jobs = this.#jobs.open(peer)
    const descriptors = this.#descriptors.open(peer)
    const windows = this.#windows.open(peer)
    const initialWindows = this.#inboxes.open(peer)
    const lookups = this.#lookups.open(peer)
    const account: Account = {
      transfers,
      readAhead,
      jobs,
      descriptors,
      windows,
      initialWindows: {
        take: (bytes) => initialWindows.takeOrRefuse(bytes),
        give(bytes) {
          initialWindows.give(bytes)
        },
      },
      lookups,
      end(error) {
        const all = [transfers, readAhead, jobs, descriptors, windows, initialWindows, lookups]
        for (const share of all) share.end(error)
      },
    }
    accounts.set(trunk, account)
    return account
  }

  /**
   * The initial window of a new session with `peer`, where `wanted` is the limit: smaller where
   * little is free, so that many pipes can be opened.
   */
  initialWindow(peer: string, wanted: number): number {
    const some = Math.floor(this.#inboxes.room(peer) / PIPES_AT_FIRST)
    return Math.min(wanted, Math.max(LEAST_WINDOW_BYTES, some))
  }

  /** How each stands. */
  status(): BudgetsStatus {
    return {
      transferBytes: statusOf(this.#transfers),
      readAheadBytes: statusOf(this.#readAhead),
      poolJobs: statusOf(this.#jobs),
      descriptors: statusOf(this.#descriptors),
      windowBytes: statusOf(this.#windows),
      inboxBytes: statusOf(this.#inboxes),
      lookups: statusOf(this.#lookups),
    }
  }
}

/**
 * Budgets for trunks to share: give one object to every `serve`, `connect` and `overLink` that are
 * to share it (`TrunkOptions.budgets`). What is not given has the default of this machine.
 *
 * @example
 * ```ts
 * const budgets = createBudgets({ descriptors: 2_000 })
 * const server = await serve(address, { protocols, budgets })
 * console.log(server.status().budgets.descriptors.used)
 * ```
 */
export function createBudgets(sizes: Partial<BudgetSizes> = {}): Budgets {
  return new SharedBudgets(sizes)
}

let ofProcess: SharedBudgets | undefined

/** The budgets that everything in this process shares that was given no others. */
export function processBudgets(): SharedBudgets {
  return (ofProcess ??= new SharedBudgets())
}

/** What was given as budgets, or ERR_BAD_ARGUMENT. */
export function requireBudgets(given: unknown): SharedBudgets {
  if (given instanceof SharedBudgets) return given
  throw badArgument(`budgets are made by createBudgets, not ${given === null ? 'null' : typeof given}`)
}

const accounts = new WeakMap<Trunk, Account>()

/**
 * By what the operations of `trunk` take their parts; one that is nobody's of ours (a test's, a
 * wrapper's) has its part of the process's budgets.
 */
export function accountOf(trunk: Trunk): Account {
  const known = accounts.get(trunk)
  if (known !== undefined) return known
  const account = processBudgets().open('', trunk)
  const end = (): void => {
    account.end(new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed'))
  }
  trunk.closed.then(end, end)
  return account
}

/** Who waits for a part: until this aborts. */
export interface Waiter {
  readonly signal: AbortSignal
}

/**
 * Does `work` with so much of a budget, which is waited for, and given back when the work is done,
 * however it ends.
 */
export async function holding<T>(share: Share, amount: number, whose: Waiter, work: () => Promise<T>): Promise<T> {
  // a signal is made when it is asked for
  if (!share.take(amount)) await share.wait(amount, whose.signal)
  try {
    return await work()
  } finally {
    share.give(amount)
  }
}

/**
 * Does `work` in the thread pool when it is the trunk's turn. What has begun is waited for in any
 * case: nobody can take it back.
 */
export function inPool<T>(jobs: Share, whose: Waiter, work: () => Promise<T>): Promise<T> {
  return holding(jobs, 1, whose, work)
}

function statusOf(budget: FairBudget): BudgetStatus {
  const groups = budget.groups()
  return {
    max: budget.max,
    used: budget.used,
    waiting: groups.reduce((sum, { waiting }) => sum + waiting, 0),
    refused: budget.refused,
    peers: groups.slice(0, MAX_NAMED),
  }
}

function resolveSizes(given: Partial<BudgetSizes>): BudgetSizes {
  const sizes: Partial<BudgetSizes> = {}
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(BUDGET_BOUNDS, name)) throw badArgument(`budgets have no ${name}`)
    const key = name as keyof BudgetSizes
    // undefined is what a caller without strict types gives for 'not set'
    if ((value as unknown) !== undefined) sizes[key] = requireInteger(`budgets.${name}`, value, ...BUDGET_BOUNDS[key])
  }
  return { ...defaultSizes(machine()), ...sizes }
}

/** What the defaults come from. */
export interface Machine {
  /** Bytes that the process may use: the machine's, or its control group's where that is less. */
  readonly memoryBytes: number
  /** Threads of Node's pool. */
  readonly threads: number
  /** Descriptors that the process may have open. */
  readonly files: number
}

/** docs/reference/limits.md says why. */
export function defaultSizes({ memoryBytes, threads, files }: Machine): BudgetSizes {
  return {
    transferBytes: within(memoryBytes / 64, 4 * MIB, 32 * MIB),
    readAheadBytes: within(memoryBytes / 16, 8 * MIB, 64 * MIB),
    poolJobs: within(threads, 1, 1024),
    descriptors: within(files / 2, 128, 65_536),
    windowBytes: within(memoryBytes / 8, 16 * MIB, 1024 * MIB),
    inboxBytes: within(memoryBytes / 8, 16 * MIB, 1024 * MIB),
    // libuv gives a half of its threads to what may take long
    lookups: within(threads / 2, 1, 1024),
  }
}

function within(value: number, min: number, max: number): number {
  return Math.floor(Math.min(max, Math.max(min, value)))
}

/**
 * What this machine is. Where it does not say how many descriptors there may be, they are the least
 * that a system gives.
 */
export function machine(): Machine {
  const constrained = process.constrainedMemory()
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? DEFAULT_THREADS)
  return {
    memoryBytes: Math.min(totalmem(), constrained > 0 ? constrained : Infinity),
    threads: Number.isInteger(threads) && threads > 0 ? threads : DEFAULT_THREADS,
    files: openFilesLimit(),
  }
}

/** Of libuv, where UV_THREADPOOL_SIZE says nothing. */
const DEFAULT_THREADS = 4
const LEAST_FILES = 256

function openFilesLimit(): number {
  let text: string
  try {
    text = readFileSync('/proc/self/limits', 'latin1')
  } catch {
    // no Linux, or no /proc: nobody says it without a process of its own
    return LEAST_FILES * 4
  }
  // Node has raised the soft limit to the hard one when it started
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1]
  if (soft === 'unlimited') return Infinity
  return soft === undefined ? LEAST_FILES : Number(soft)
}

function noMemory(): TrunkError {
  return new TrunkError('ERR_HANDLE_LIMIT', 'other transfers hold all the memory that there is for them')
}

function noThread(): TrunkError {
  return new TrunkError('ERR_BUSY', `no thread came free in ${WAIT_MS} ms`)
}

function noLookup(): TrunkError {
  return new TrunkError('ERR_CONNECTION_LIMIT', `other names were being looked up for ${WAIT_MS} ms`)
}

/** Why there is no connection. */
export const NO_DESCRIPTOR = 'the peers of this process have all the descriptors that there are for them'

/** Why there is none for an operation. */
export function noDescriptor(): TrunkError {
  return new TrunkError('ERR_HANDLE_LIMIT', NO_DESCRIPTOR)
}
