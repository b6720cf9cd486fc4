/**
 * What a keeper and its server say to each other, in bytes. src/native/keeper/keeper.h is the
 * contract.
 */
import { constants } from 'node:os'
import type { LaunchLimits, LaunchPlan, SignalScope } from '../launch.ts'

const NONE = new Uint8Array(0)

/** A keeper of another one refuses the plan. */
export const KEEPER_VERSION = 2

const HEADER_BYTES = 8
/** The longest list of numbers is that of `ended`. */
const MAX_ANSWER_BYTES = 64

const ASK = { plan: 1, signal: 2, end: 3, release: 4 }
const FLAGS = { terminal: 1, noNewPrivileges: 2, user: 4, umask: 8, niceness: 16 }
const SCOPES: Readonly<Record<SignalScope, number>> = { leader: 0, group: 1, tree: 2, foreground: 3 }
/** Linux's numbers, the same on x64 and arm64. */
const RESOURCES: Readonly<Record<keyof LaunchLimits, number>> = {
  cpu: 0,
  fsize: 1,
  core: 4,
  nproc: 6,
  nofile: 7,
  as: 9,
}
const REACHES = ['group', 'keeper', 'cgroup'] as const
const STAGES = ['', 'plan', 'process', 'terminal', 'limits', 'user', 'directory', 'search', 'execute'] as const

/** Where a keeper's launch fails. */
export type KeeperStage = Exclude<(typeof STAGES)[number], ''>

/** What a keeper tells. */
export type KeeperRecord =
  | { readonly kind: 'started'; readonly pid: number; readonly tree: (typeof REACHES)[number] }
  | { readonly kind: 'failed'; readonly stage: KeeperStage; readonly errno: string }
  | {
      readonly kind: 'ended'
      readonly code: number
      /** 0 where it ended by itself. */
      readonly signal: number
      readonly core: boolean
      readonly userMs: number
      readonly systemMs: number
      readonly maxRssKiB: number
      /** Processes that it left behind. */
      readonly leftovers: number
    }
  | { readonly kind: 'stopped'; readonly signal: number }
  | { readonly kind: 'continued' }
  | { readonly kind: 'left'; readonly count: number }
  | { readonly kind: 'empty' }

/**
 * The first record: what is to run, and how long its tree is asked before it is killed where nobody
 * says so.
 */
export function encodePlan(plan: LaunchPlan, graceMs: number): Uint8Array {
  const { user, terminal, noNewPrivileges, umask, niceness } = plan
  const groups = user?.groups ?? []
  const limits = (Object.keys(RESOURCES) as (keyof LaunchLimits)[]).flatMap((name) => {
    const value = plan.limits?.[name]
    return value === undefined ? [] : [{ resource: RESOURCES[name], value }]
  })
  const flags =
    (terminal ? FLAGS.terminal : 0) |
    (noNewPrivileges ? FLAGS.noNewPrivileges : 0) |
    (user ? FLAGS.user : 0) |
    (umask === undefined ? 0 : FLAGS.umask) |
    (niceness === undefined ? 0 : FLAGS.niceness)
  const counts = [groups.length, limits.length, plan.argv.length, plan.env.length]
  const ours = [user?.uid ?? 0, user?.gid ?? 0, umask ?? 0, (niceness ?? 0) >>> 0]
  const words = [KEEPER_VERSION, flags, graceMs, ...ours, ...counts, ...groups]
  const numbers = Buffer.alloc(words.length * 4 + limits.length * 20)
  let at = 0
  for (const word of words) at = numbers.writeUInt32LE(word, at)
  for (const { resource, value } of limits) {
    at = numbers.writeUInt32LE(resource, at)
    at = numbers.writeBigUInt64LE(BigInt(value), at)
    at = numbers.writeBigUInt64LE(BigInt(value), at)
  }
  const end = Buffer.alloc(1)
  const strings = [plan.directory, plan.controlGroup ?? NONE, plan.file, ...plan.argv, ...plan.env].flatMap((bytes) => [
    bytes,
    end,
  ])
  return record(ASK.plan, [numbers, ...strings])
}

/** `group` is that of the terminal, for the scope `foreground`. */
export function encodeSignal(signal: number, scope: SignalScope, group = 0): Uint8Array {
  return numbersRecord(ASK.signal, [signal, SCOPES[scope], group])
}

export function encodeEnd(graceMs: number): Uint8Array {
  return numbersRecord(ASK.end, [graceMs])
}

export function encodeRelease(): Uint8Array {
  return numbersRecord(ASK.release, [])
}

/** Records out of the bytes of a keeper. */
export class KeeperRecords {
  #rest: Uint8Array = new Uint8Array(0)

  /** Throws a RangeError where they are no keeper's. */
  push(chunk: Uint8Array): KeeperRecord[] {
    const records: KeeperRecord[] = []
    let bytes = Buffer.concat([this.#rest, chunk])
    while (bytes.byteLength >= HEADER_BYTES) {
      const length = bytes.readUInt32LE(0)
      if (length > MAX_ANSWER_BYTES || length % 8 !== 0) throw new RangeError(`a record of ${length} bytes`)
      if (bytes.byteLength < HEADER_BYTES + length) break
      const kind = bytes.readUInt32LE(4)
      const numbers = Array.from({ length: length / 8 }, (_, index) =>
        Number(bytes.readBigUInt64LE(HEADER_BYTES + index * 8)),
      )
      bytes = bytes.subarray(HEADER_BYTES + length)
      records.push(answer(kind, numbers))
    }
    this.#rest = bytes
    return records
  }
}

/** By its number, from 1 on: how many numbers it has, and what they are. */
const ANSWERS: readonly (readonly [count: number, read: (numbers: readonly number[]) => KeeperRecord | undefined])[] = [
  [
    2,
    ([pid = 0, reach = 0]) => {
      const tree = REACHES[reach]
      return tree && { kind: 'started', pid, tree }
    },
  ],
  [
    2,
    ([number = 0, errno = 0]) => {
      const stage = STAGES[number]
      return stage ? { kind: 'failed', stage, errno: errnoName(errno) } : undefined
    },
  ],
  [
    7,
    ([code = 0, signal = 0, core, userUs = 0, systemUs = 0, maxRssKiB = 0, leftovers = 0]) => ({
      kind: 'ended',
      code,
      signal,
      core: core === 1,
      userMs: userUs / 1_000,
      systemMs: systemUs / 1_000,
      maxRssKiB,
      leftovers,
    }),
  ],
  [1, ([signal = 0]) => ({ kind: 'stopped', signal })],
  [0, () => ({ kind: 'continued' })],
  [1, ([count = 0]) => ({ kind: 'left', count })],
  [0, () => ({ kind: 'empty' })],
]

/** Node's own translation leaves some out, ENOEXEC among them. */
function errnoName(number: number): string {
  return Object.entries(constants.errno).find(([, known]) => known === number)?.[0] ?? `error ${number}`
}

function answer(kind: number, numbers: readonly number[]): KeeperRecord {
  const [count, read] = ANSWERS[kind - 1] ?? []
  const found = count === numbers.length ? read?.(numbers) : undefined
  if (found === undefined) throw new RangeError(`a record of kind ${kind} with ${numbers.length} numbers`)
  return found
}

function numbersRecord(kind: number, numbers: readonly number[]): Uint8Array {
  const body = Buffer.alloc(numbers.length * 8)
  for (const [index, number] of numbers.entries()) body.writeBigUInt64LE(BigInt(number), index * 8)
  return record(kind, [body])
}

function record(kind: number, parts: readonly Uint8Array[]): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(
    parts.reduce((sum, part) => sum + part.byteLength, 0),
    0,
  )
  header.writeUInt32LE(kind, 4)
  return Buffer.concat([header, ...parts])
}
