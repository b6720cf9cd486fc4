/**
 * What travels in opens and in their acceptance. A request with a member that this version does not know is refused, since acting on half of a request is worse than not acting; unknown
 * members of a reply are ignored. Decoding gives a result object: hostile input never throws.
 */
import * as v from 'valibot'
import { decodeWith, type Decoded } from '../internal/decoded.ts'

/** The protocol's name on the wire. */
export const EXEC = 'exec'
/** Arguments of a command, at most. */
export const MAX_ARGUMENTS = 1024
/** Arguments and environment together, as the `spec` pipe carries them. */
export const MAX_SPEC_BYTES: number = 1024 * 1024
/** Longest wait that a timer keeps. */
export const MAX_MS: number = 2 ** 31 - 1

/** The streams of a command. */
export type StreamName = 'stdin' | 'stdout' | 'stderr'

/** Arguments and environment that do not fit an open; in a pipe of their own, under the id of the command. */
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
  timeoutMs?: number | undefined
  killGraceMs?: number | undefined
  /** What is left after a normal end. */
  leftovers: 'keep' | 'kill'
}

/** One of its streams. */
export interface StreamRequest {
  op: 'stream'
  id: Uint8Array
  stream: StreamName
}

/** A signal for a command of this trunk. */
export interface SignalRequest {
  op: 'signal'
  id: Uint8Array
  signal: string
  scope: 'leader' | 'group' | 'tree' | 'foreground'
}

export type ExecRequest = SpecRequest | StartRequest | StreamRequest | SignalRequest
/** What a spec pipe carries. */
export interface Spec {
  argv: (Uint8Array | string)[]
  env?: Record<string, Uint8Array | string> | undefined
}

/** A start as a client states it. */
export type StartInput = Omit<StartRequest, 'clearEnv' | 'leftovers'> & {
  clearEnv?: boolean | undefined
  leftovers?: 'keep' | 'kill' | undefined
}

/** What the acceptance of a start carries. */
export interface StartReply {
  id: Uint8Array
  pid: number
  user: string
  tree: 'cgroup' | 'keeper' | 'group'
}

/** What the acceptance of a stream carries: the offset of its first byte, and how many before it are gone. */
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
    timeoutMs: v.optional(v.pipe(ms, v.minValue(1))),
    killGraceMs: v.optional(ms),
    leftovers: v.optional(v.picklist(['keep', 'kill']), 'keep'),
  }),
  stream: v.strictObject({ op: v.literal('stream'), id, stream: v.picklist(['stdin', 'stdout', 'stderr']) }),
  signal: v.strictObject({
    op: v.literal('signal'),
    id,
    signal,
    scope: v.optional(v.picklist(['leader', 'group', 'tree', 'foreground']), 'group'),
  }),
}
const opSchema = v.object({ op: v.picklist(Object.keys(requestSchemas) as ExecRequest['op'][]) })
const specSchema: v.GenericSchema<unknown, Spec> = v.strictObject({ argv, env: v.optional(env) })
const startReply: v.GenericSchema<unknown, StartReply> = v.object({
  id,
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  user: v.pipe(v.string(), v.maxLength(64)),
  tree: v.picklist(['cgroup', 'keeper', 'group']),
})
const streamReply: v.GenericSchema<unknown, StreamReply> = v.object({ from: count, dropped: count })

/** Checks what a peer sent as parameters. */
export function decodeRequest(params: unknown): Decoded<ExecRequest> {
  const named = decodeWith(opSchema, params, 'ERR_PARAMS_INVALID', EXEC)
  if (!named.ok) return named
  const schema: v.GenericSchema<unknown, ExecRequest> = requestSchemas[named.value.op]
  return decodeWith(schema, params, 'ERR_PARAMS_INVALID', `${EXEC} ${named.value.op}`)
}

/** Checks what a spec pipe carried. */
export function decodeSpec(value: unknown): Decoded<Spec> {
  return decodeWith(specSchema, value, 'ERR_MESSAGE_INVALID', 'the spec of a command')
}

/** Checks the reply to a start of `id`. */
export function decodeStartReply(reply: unknown): Decoded<StartReply> {
  return decodeWith(startReply, reply, 'ERR_MESSAGE_INVALID', 'the reply to a start')
}

/** Checks the reply to a stream. */
export function decodeStreamReply(reply: unknown): Decoded<StreamReply> {
  return decodeWith(streamReply, reply, 'ERR_MESSAGE_INVALID', 'the reply to a stream')
}
