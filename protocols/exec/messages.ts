/**
 * What travels in opens and in their acceptance. A request with a member that this version does not
 * know is refused, since acting on half of a request is worse than not acting; unknown members of a
 * reply are ignored. Decoding gives a result object: hostile input never throws.
 */
import * as v from 'valibot'
import { TrunkError } from '../../src/contracts/errors.ts'
import { decodeWith, type Decoded } from '../internal/decoded.ts'
import type { LaunchLimits } from './launch.ts'

/** The protocol's name on the wire. */
export const EXEC = 'exec'
/** Arguments of a command, at most. */
export const MAX_ARGUMENTS = 1024
/** Arguments and environment together, as the `spec` pipe carries them. */
export const MAX_SPEC_BYTES: number = 1024 * 1024
/** Longest time between TERM and KILL. */
export const MAX_GRACE_MS = 60_000
/** Longest wait that a timer keeps. */
export const MAX_MS: number = 2 ** 31 - 1

/** Largest number of columns or rows. */
export const MAX_SIZE = 10_000
/** Of the name of a kept command. */
const NAME: RegExp = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/
/** A kept output, least and most. */
export const RING_BYTES: readonly [number, number] = [4 * 1024, 16 * 1024 * 1024]

/** The streams of a command. `tty`, its terminal, takes the place of the three others. */
export type StreamName = 'stdin' | 'stdout' | 'stderr' | 'tty'
/** Those that it writes. */
export type OutputName = Exclude<StreamName, 'stdin'>

/** A terminal for a command: its size in characters and, where known, pixels. */
export interface TerminalRequest {
  columns: number
  rows: number
  x?: number | undefined
  y?: number | undefined
  /** TERM. */
  term: string
  /** By stty's names: true and false of a flag, the number of a character. */
  modes?: Record<string, boolean | number> | undefined
}

/** A command that outlives its session. */
export interface KeepRequest {
  /** @default the first digits of its id */
  name?: string | undefined
  /** How long it may run, and is known after its end, without a controller. */
  forMs?: number | undefined
  /** Of each output, so much is kept. */
  ringBytes?: number | undefined
  /** What happens to output that nobody has read: the oldest is dropped, or the command waits. */
  whenFull: 'drop' | 'block'
}

/**
 * Arguments and environment that do not fit an open; in a pipe of their own, under the id of the
 * command.
 */
export interface SpecRequest {
  op: 'spec'
  id: Uint8Array
}

/** A command that is to run. */
export interface StartRequest {
  op: 'start'
  id: Uint8Array
  /** Not there: a `spec` has it. */
  argv?: (Uint8Array | string)[] | undefined
  env?: Record<string, Uint8Array | string> | undefined
  /** Nothing but `env` is set. */
  clearEnv: boolean
  cwd?: Uint8Array | string | undefined
  user?: string | undefined
  stdin: 'pipe' | 'none'
  stdout: 'pipe' | 'none'
  stderr: 'pipe' | 'merge' | 'none'
  /** The three streams are 'none' then. */
  tty?: TerminalRequest | undefined
  keep?: KeepRequest | undefined
  timeoutMs?: number | undefined
  killGraceMs?: number | undefined
  /** What is left after a normal end. */
  leftovers: 'keep' | 'kill'
  /** Less than the server's count; in the kernel's units. */
  limits?: LaunchLimits | undefined
}

/** One of its streams. */
export interface StreamRequest {
  op: 'stream'
  id: Uint8Array
  stream: StreamName
  /**
   * Of an output of a kept command: from which offset on; `tail`: what comes from now on. @default
   * from the first byte that there is
   */
  from?: number | 'tail' | undefined
  /**
   * Of an output of a kept command: for who only looks on, also where the same trunk has its
   * controller.
   */
  watch?: boolean | undefined
}

/** Which command is meant: one of both. */
export interface CommandReference {
  id?: Uint8Array | undefined
  name?: string | undefined
}

/** To see a kept command, or to take it over. */
export interface AttachRequest extends CommandReference {
  op: 'attach'
  /** Also where it has a controller, which then has it no more. */
  take: boolean
  /** To look on. */
  watch: boolean
}

/** All commands that the asker may see. */
export interface ListRequest {
  op: 'list'
}

/** A signal for a command of this trunk, or for a kept one. */
export interface SignalRequest extends CommandReference {
  op: 'signal'
  signal: string
  scope: 'leader' | 'group' | 'tree' | 'foreground'
}

/** A kept command that is to be known no more; one that runs is ended first. */
export interface ForgetRequest extends CommandReference {
  op: 'forget'
}

export type ExecRequest =
  | SpecRequest
  | StartRequest
  | StreamRequest
  | AttachRequest
  | ListRequest
  | SignalRequest
  | ForgetRequest
/** What a spec pipe carries. */
export interface Spec {
  argv: (Uint8Array | string)[]
  env?: Record<string, Uint8Array | string> | undefined
}

/** A start as a client states it. */
export type StartInput = Omit<StartRequest, 'clearEnv' | 'leftovers' | 'keep'> & {
  keep?: (Omit<KeepRequest, 'whenFull'> & { whenFull?: 'drop' | 'block' | undefined }) | undefined
  clearEnv?: boolean | undefined
  leftovers?: 'keep' | 'kill' | undefined
}

/** What the acceptance of a start carries. */
export interface StartReply {
  id: Uint8Array
  pid: number
  user: string
  tree: 'cgroup' | 'keeper' | 'group'
  /** Of a kept one. */
  name?: string | undefined
  ringBytes?: number | undefined
  whenFull?: 'drop' | 'block' | undefined
}

/** How a command has ended: one of `code` and `signal`. */
export interface ExitStatus {
  code: number | null
  signal: string | null
}

/** Of an output: the offset of the first byte that there is, and of the one behind the last. */
export type Offsets = [first: number, next: number]

/** What is told of a command to those who did not start it. */
export interface CommandFacts extends StartReply {
  /** Cut at 1 KiB. */
  argv: (Uint8Array | string)[]
  state: 'running' | 'exited'
  /** Outlives its session. */
  kept: boolean
  tty: boolean
  stdin: boolean
  /** Since its start, and since its end. */
  ageMs: number
  endedMs?: number | undefined
  exit?: ExitStatus | undefined
  controlled: boolean
  watchers: number
  offsets: { [Name in OutputName]?: Offsets | undefined }
}

/**
 * What the acceptance of a stream carries: the offset of its first byte, and how many before it are
 * gone.
 */
export interface StreamReply {
  from: number
  dropped: number
}

const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes')
const id = v.pipe(
  bytes,
  v.check((value) => value.byteLength === 16, 'not 16 bytes'),
)
const NUL = 0
/** Neither holds a NUL: the kernel would end it there. */
const word: v.GenericSchema<unknown, Uint8Array | string> = v.pipe(
  v.union([bytes, v.string()]),
  v.check((value) => (typeof value === 'string' ? !value.includes('\0') : !value.includes(NUL)), 'has a NUL'),
)
const argv = v.pipe(v.array(word), v.minLength(1), v.maxLength(MAX_ARGUMENTS))
const env = v.pipe(
  v.record(
    v.pipe(
      v.string(),
      v.check((name) => name !== '' && !/[=\0]/.test(name), 'not a name'),
    ),
    word,
  ),
  v.check((value) => Object.keys(value).length <= MAX_ARGUMENTS, 'too many names'),
)
const ms = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_MS))
const signal = v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9+-]{1,15}$/))
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_SIZE))
const pixels = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535))
const flag = v.optional(v.boolean())
const character = v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)))
/** Checks a size; control.ts has it as well. */
export const sizes: Readonly<Record<'columns' | 'rows' | 'pixels', v.GenericSchema<unknown, number>>> = {
  columns: size,
  rows: size,
  pixels,
}
const tty: v.GenericSchema<unknown, TerminalRequest> = v.strictObject({
  columns: size,
  rows: size,
  x: v.optional(pixels),
  y: v.optional(pixels),
  // a name of a terminal's kind, which programs make part of a path
  term: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/)),
  modes: v.optional(
    v.pipe(
      v.strictObject({
        iutf8: flag,
        echo: flag,
        icanon: flag,
        isig: flag,
        ixon: flag,
        icrnl: flag,
        onlcr: flag,
        opost: flag,
        intr: character,
        quit: character,
        erase: character,
        kill: character,
        eof: character,
        susp: character,
      }),
      v.transform((given) => given as Record<string, boolean | number>),
    ),
  ),
})
const name = v.pipe(v.string(), v.regex(NAME))
const keep: v.GenericSchema<unknown, KeepRequest> = v.strictObject({
  name: v.optional(name),
  forMs: v.optional(v.pipe(ms, v.minValue(1))),
  ringBytes: v.optional(v.pipe(count, v.minValue(RING_BYTES[0]), v.maxValue(RING_BYTES[1]))),
  whenFull: v.optional(v.picklist(['drop', 'block']), 'drop'),
})
const streamName = v.picklist(['stdin', 'stdout', 'stderr', 'tty'])
const reference = { id: v.optional(id), name: v.optional(name) }
const scope = v.optional(v.picklist(['leader', 'group', 'tree', 'foreground']), 'group')

const requestSchemas: { readonly [Op in ExecRequest['op']]: v.GenericSchema<unknown, ExecRequest & { op: Op }> } = {
  spec: v.strictObject({ op: v.literal('spec'), id }),
  start: v.strictObject({
    op: v.literal('start'),
    id,
    argv: v.optional(argv),
    env: v.optional(env),
    clearEnv: v.optional(v.boolean(), false),
    cwd: v.optional(word),
    user: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
    stdin: v.picklist(['pipe', 'none']),
    stdout: v.picklist(['pipe', 'none']),
    stderr: v.picklist(['pipe', 'merge', 'none']),
    tty: v.optional(tty),
    keep: v.optional(keep),
    timeoutMs: v.optional(v.pipe(ms, v.minValue(1))),
    killGraceMs: v.optional(ms),
    leftovers: v.optional(v.picklist(['keep', 'kill']), 'keep'),
    limits: v.optional(
      v.strictObject({
        nofile: v.optional(count),
        nproc: v.optional(count),
        as: v.optional(count),
        cpu: v.optional(count),
        fsize: v.optional(count),
        core: v.optional(count),
      }),
    ),
  }),
  stream: v.strictObject({
    op: v.literal('stream'),
    id,
    stream: streamName,
    from: v.optional(v.union([count, v.literal('tail')])),
    watch: v.optional(v.boolean()),
  }),
  attach: v.strictObject({
    op: v.literal('attach'),
    ...reference,
    take: v.optional(v.boolean(), false),
    watch: v.optional(v.boolean(), false),
  }),
  list: v.strictObject({ op: v.literal('list') }),
  signal: v.strictObject({ op: v.literal('signal'), ...reference, signal, scope }),
  forget: v.strictObject({ op: v.literal('forget'), ...reference }),
}

/** What the members of a request do not say alone. */
function contradictionOf(request: ExecRequest): string | undefined {
  switch (request.op) {
    case 'start':
      if (request.tty !== undefined && !isWithoutStreams(request)) return 'a terminal takes the place of the streams'
      return undefined
    case 'attach':
    case 'signal':
    case 'forget':
      if ((request.id === undefined) === (request.name === undefined))
        return 'a command is meant by its id or by its name'
      if (request.op === 'attach' && request.take && request.watch) return 'take and watch exclude each other'
      return undefined
    default:
      return undefined
  }
}

function isWithoutStreams(value: { stdin: string; stdout: string; stderr: string }): boolean {
  return [value.stdin, value.stdout, value.stderr].every((what) => what === 'none')
}
const opSchema = v.object({ op: v.picklist(Object.keys(requestSchemas) as ExecRequest['op'][]) })
const specSchema: v.GenericSchema<unknown, Spec> = v.strictObject({ argv, env: v.optional(env) })
const replyMembers = {
  id,
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  user: v.pipe(v.string(), v.maxLength(64)),
  tree: v.picklist(['cgroup', 'keeper', 'group']),
  name: v.optional(name),
  ringBytes: v.optional(count),
  whenFull: v.optional(v.picklist(['drop', 'block'])),
}
const startReply: v.GenericSchema<unknown, StartReply> = v.object(replyMembers)
const offsets: v.GenericSchema<unknown, Offsets> = v.pipe(
  v.tuple([count, count]),
  v.check(([first, next]) => first <= next, 'offsets that cannot be'),
)
/** Checks what a peer tells of a command; control.ts has it as well. */
export const facts: v.GenericSchema<unknown, CommandFacts> = v.object({
  ...replyMembers,
  argv: v.pipe(v.array(word), v.maxLength(MAX_ARGUMENTS)),
  state: v.picklist(['running', 'exited']),
  kept: v.boolean(),
  tty: v.boolean(),
  stdin: v.boolean(),
  ageMs: v.pipe(v.number(), v.finite(), v.minValue(0)),
  endedMs: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0))),
  exit: v.optional(
    v.object({
      code: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
      signal: v.nullable(signal),
    }),
  ),
  controlled: v.boolean(),
  watchers: count,
  offsets: v.object({ stdout: v.optional(offsets), stderr: v.optional(offsets), tty: v.optional(offsets) }),
})
const streamReply: v.GenericSchema<unknown, StreamReply> = v.object({ from: count, dropped: count })

/** Checks what a peer sent as parameters. */
export function decodeRequest(params: unknown): Decoded<ExecRequest> {
  const named = decodeWith(opSchema, params, 'ERR_PARAMS_INVALID', EXEC)
  if (!named.ok) return named
  const schema: v.GenericSchema<unknown, ExecRequest> = requestSchemas[named.value.op]
  const request = decodeWith(schema, params, 'ERR_PARAMS_INVALID', `${EXEC} ${named.value.op}`)
  const wrong = request.ok ? contradictionOf(request.value) : undefined
  if (wrong === undefined) return request
  return { ok: false, error: new TrunkError('ERR_PARAMS_INVALID', `${EXEC} ${named.value.op}: ${wrong}`) }
}

/** Checks what a spec pipe carried. */
export function decodeSpec(value: unknown): Decoded<Spec> {
  return decodeWith(specSchema, value, 'ERR_MESSAGE_INVALID', 'the spec of a command')
}

/** Checks the reply to a start of `id`. */
export function decodeStartReply(reply: unknown): Decoded<StartReply> {
  return decodeWith(startReply, reply, 'ERR_MESSAGE_INVALID', 'the reply to a start')
}

/** Checks what a peer tells of a command: the reply to `attach`, and what `list` has. */
export function decodeFacts(value: unknown): Decoded<CommandFacts> {
  return decodeWith(facts, value, 'ERR_MESSAGE_INVALID', 'what is told of a command')
}

/** Checks the reply to a stream. */
export function decodeStreamReply(reply: unknown): Decoded<StreamReply> {
  return decodeWith(streamReply, reply, 'ERR_MESSAGE_INVALID', 'the reply to a stream')
}
