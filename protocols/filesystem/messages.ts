/**
 * What travels besides file bytes: a request (the parameters of the pipe's open) and a reply (what
 * the accept carries), one encode and one decode each. Decoding takes any value and gives a result
 * object: hostile input never throws. A request with a member that this version does not know is
 * refused, since acting on half of a request is worse than not acting; unknown members of a reply
 * are ignored.
 */
import * as v from 'valibot'
import { TrunkError } from '../../src/contracts/errors.ts'
import { onFirstUse } from '../../src/runtime/first-use.ts'
import { decodeWith, type Decoded } from '../internal/decoded.ts'
import { splitPath } from './path.ts'

/** The name that client and server meet under. */
export const FILESYSTEM = 'filesystem'

/**
 * What an entry is. Links are shown, never followed; `other` is a device, FIFO or socket, which is
 * shown and never opened.
 */
export type FileType = 'file' | 'directory' | 'symlink' | 'other'

/** Largest date of JavaScript, in milliseconds from 1970 either way. */
export const MAX_DATE_MS = 8.64e15

/** The entry of a path. */
export interface StatRequest {
  op: 'stat'
  path: Uint8Array
}

/** The entries of a directory. */
export interface ListRequest {
  op: 'list'
  path: Uint8Array
}

/**
 * The bytes of a range of a file, or their digest. No length: up to the file's end, which cuts any
 * length.
 */
export interface RangeRequest<Op extends 'read' | 'sha256'> {
  op: Op
  path: Uint8Array
  offset: number
  length?: number | undefined
}

/** What the pipe carries becomes a file's content. */
export interface WriteRequest {
  op: 'write'
  path: Uint8Array
  /** `replace` is atomic; `append` and `update` (from `offset` on) change the file in place. */
  how: 'replace' | 'append' | 'update'
  offset: number
  mode?: number | undefined
  modifiedMs?: number | undefined
  exclusive: boolean
  durable: boolean
}

export interface MkdirRequest {
  op: 'mkdir'
  path: Uint8Array
  recursive: boolean
  mode?: number | undefined
}

export interface RemoveRequest {
  op: 'remove'
  path: Uint8Array
  recursive: boolean
}

export interface RenameRequest {
  op: 'rename'
  path: Uint8Array
  to: Uint8Array
  replace: boolean
}

export interface AttributesRequest {
  op: 'setAttributes'
  path: Uint8Array
  mode?: number | undefined
  modifiedMs?: number | undefined
  accessedMs?: number | undefined
}

/** Many small files: the pipe carries a batch each way (file-batch.ts). */
export interface ManyRequest<Op extends 'readMany' | 'writeMany'> {
  op: Op
}

/** A checked request, as the server acts on it. */
export type FileRequest =
  | StatRequest
  | ListRequest
  | RangeRequest<'read'>
  | RangeRequest<'sha256'>
  | WriteRequest
  | MkdirRequest
  | RemoveRequest
  | RenameRequest
  | AttributesRequest
  | ManyRequest<'readMany'>
  | ManyRequest<'writeMany'>

/** The request of one operation. */
export type RequestOf<Op extends FileRequest['op']> = Extract<FileRequest, { op: Op }>

/** Members that a request may leave out; the server fills them in. */
type Defaulted = 'offset' | 'exclusive' | 'durable' | 'recursive' | 'replace'
type InputOf<Request> = Request extends FileRequest
  ? Omit<Request, Defaulted> & { [Key in keyof Request & Defaulted]?: Request[Key] | undefined }
  : never

/** A request as a client states it. Members that are undefined do not travel. */
export type FileRequestInput = InputOf<FileRequest>

/** What the accepts carry; other operations' accepts carry nothing. */
export interface FileReplies {
  stat: { type: FileType; size: number; mode: number; modifiedMs: number; accessedMs: number; links: number }
  /**
   * `bytes` is null where only reading tells (large files, those of /proc): then the pipe's end
   * does. `size` is what the file says.
   */
  read: { bytes: number | null; size: number }
  sha256: { sha256: Uint8Array; bytes: number }
}

/** The operations whose accept carries something. */
export type ReplyingOp = keyof FileReplies
/** What the accept of such an operation carries. */
export type FileReply<Op extends ReplyingOp> = FileReplies[Op]

/** What requests, replies and batches (file-batch.ts) are made of. */
export const bytes: v.GenericSchema<unknown, Uint8Array> = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
const path = bytes
const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
export const time: v.GenericSchema<unknown, number> = v.pipe(
  v.number(),
  v.finite(),
  v.minValue(-MAX_DATE_MS),
  v.maxValue(MAX_DATE_MS),
)
export const mode: v.GenericSchema<unknown, number> = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777))

type RequestSchemas = { readonly [Op in FileRequest['op']]: v.GenericSchema<unknown, RequestOf<Op>> }

/** By operation: a choice among all of them would try one after the other, for each request. */
const requestSchemas = onFirstUse(() => {
  const range = { offset: v.optional(size, 0), length: v.optional(size) }
  const byOp: RequestSchemas = {
    stat: v.strictObject({ op: v.literal('stat'), path }),
    list: v.strictObject({ op: v.literal('list'), path }),
    read: v.strictObject({ op: v.literal('read'), path, ...range }),
    sha256: v.strictObject({ op: v.literal('sha256'), path, ...range }),
    write: v.strictObject({
      op: v.literal('write'),
      path,
      how: v.picklist(['replace', 'append', 'update']),
      offset: v.optional(size, 0),
      mode: v.optional(mode),
      modifiedMs: v.optional(time),
      exclusive: v.optional(v.boolean(), false),
      durable: v.optional(v.boolean(), true),
    }),
    mkdir: v.strictObject({
      op: v.literal('mkdir'),
      path,
      recursive: v.optional(v.boolean(), false),
      mode: v.optional(mode),
    }),
    remove: v.strictObject({ op: v.literal('remove'), path, recursive: v.optional(v.boolean(), false) }),
    rename: v.strictObject({ op: v.literal('rename'), path, to: path, replace: v.optional(v.boolean(), false) }),
    setAttributes: v.strictObject({
      op: v.literal('setAttributes'),
      path,
      mode: v.optional(mode),
      modifiedMs: v.optional(time),
      accessedMs: v.optional(time),
    }),
    readMany: v.strictObject({ op: v.literal('readMany') }),
    writeMany: v.strictObject({ op: v.literal('writeMany') }),
  }
  return { op: v.object({ op: v.picklist(Object.keys(byOp) as FileRequest['op'][]) }), byOp }
})

type ReplySchemas = { readonly [Op in ReplyingOp]: v.GenericSchema<unknown, FileReply<Op>> }
const replySchemas = onFirstUse((): ReplySchemas => ({
  stat: v.object({
    type: v.picklist(['file', 'directory', 'symlink', 'other']),
    size,
    mode,
    modifiedMs: time,
    accessedMs: time,
    links: size,
  }),
  read: v.object({ bytes: v.nullable(size), size }),
  sha256: v.object({
    sha256: v.pipe(
      bytes,
      v.check((digest) => digest.byteLength === 32, 'not 32 bytes'),
    ),
    bytes: size,
  }),
}))

/** A request as the parameters of an open. */
export function encodeRequest(request: FileRequestInput): Record<string, unknown> {
  return { ...request }
}

/**
 * The parameters of an open as a request; ERR_PATH_INVALID where a path is to blame. Never throws.
 */
export function decodeRequest(params: unknown): Decoded<FileRequest> {
  const { op, byOp } = requestSchemas()
  const named = decodeWith(op, params, 'ERR_PARAMS_INVALID', FILESYSTEM)
  if (!named.ok) return named
  const schema: v.GenericSchema<unknown, FileRequest> = byOp[named.value.op]
  const decoded = decodeWith(schema, params, 'ERR_PARAMS_INVALID', FILESYSTEM)
  if (!decoded.ok) return decoded
  for (const path of pathsOf(decoded.value)) {
    const split = splitPath(path)
    if (!split.ok) return { ok: false, error: new TrunkError('ERR_PATH_INVALID', split.why) }
  }
  return decoded
}

function pathsOf(request: FileRequest): Uint8Array[] {
  if (!('path' in request)) return []
  return 'to' in request ? [request.path, request.to] : [request.path]
}

/** A reply as what `accept` takes. */
export function encodeReply<Op extends ReplyingOp>(_op: Op, reply: FileReply<Op>): Record<string, unknown> {
  return { ...reply }
}

/** What the peer's accept carried as the reply of `op`. Never throws. */
export function decodeReply<Op extends ReplyingOp>(op: Op, reply: unknown): Decoded<FileReply<Op>> {
  return decodeWith(replySchemas()[op], reply, 'ERR_MESSAGE_INVALID', `the peer's answer to ${op} cannot be read`)
}
