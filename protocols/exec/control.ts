/**
 * What the control pipe of a command carries, each way: a 32-bit length in network byte order, and
 * so many bytes of CBOR, an array whose first member says what it is. Types that this version does
 * not know are passed over. A message is at most 4 KiB; who reads holds no more than one.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../../src/core/cbor.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import { facts, MAX_MS, sizes, type CommandFacts, type OutputName } from './messages.ts'

/** A message, at most. */
export const MAX_CONTROL_BYTES: number = 4 * 1024
const LENGTH_BYTES = 4

/** What is said of a command's end. */
export interface ExitDetails {
  readonly core: boolean
  readonly timedOut: boolean
  /** Bytes read from each so far. */
  readonly stdout: number
  readonly stderr: number
  readonly tty?: number | undefined
  readonly leftovers: number
  readonly userMs?: number | undefined
  readonly systemMs?: number | undefined
  readonly maxRssKiB?: number | undefined
}

/** What goes to the server. */
export type ToServer =
  | readonly ['signal', name: string, scope: 'leader' | 'group' | 'tree' | 'foreground']
  | readonly ['timeout', ms: number | null]
  | readonly ['resize', columns: number, rows: number, x: number, y: number]
  /**
   * Of a kept command with `whenFull: 'block'`: so much of an output has come, and need not be
   * kept.
   */
  | readonly ['read', stream: OutputName, offset: number]

/** What goes to the client. */
export type ToClient =
  | readonly ['exit', code: number | null, signal: string | null, ExitDetails]
  | readonly ['drained', stream: OutputName, bytes: number, lingering: boolean]
  | readonly ['stopped', signal: string]
  | readonly ['continued']
  /** Somebody has attached with `take`. */
  | readonly ['taken']
  | readonly ['empty']

/** What a list carries. */
export type ListItem = readonly ['command', CommandFacts]

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const amount = v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)))
const signalName = v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9+-]{1,15}$/))
const scope = v.picklist(['leader', 'group', 'tree', 'foreground'])

type Schemas<Message extends readonly [string, ...unknown[]]> = {
  readonly [Type in Message[0]]: v.GenericSchema<unknown, Extract<Message, readonly [Type, ...unknown[]]>>
}

const toServer: Schemas<ToServer> = {
  signal: v.tuple([v.literal('signal'), signalName, scope]),
  timeout: v.tuple([
    v.literal('timeout'),
    v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_MS))),
  ]),
  resize: v.tuple([v.literal('resize'), sizes.columns, sizes.rows, sizes.pixels, sizes.pixels]),
  read: v.tuple([v.literal('read'), v.picklist(['stdout', 'stderr', 'tty']), count]),
}
const toClient: Schemas<ToClient> = {
  exit: v.tuple([
    v.literal('exit'),
    v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
    v.nullable(signalName),
    v.object({
      core: v.boolean(),
      timedOut: v.boolean(),
      stdout: count,
      stderr: count,
      tty: v.optional(count),
      leftovers: count,
      userMs: amount,
      systemMs: amount,
      maxRssKiB: amount,
    }),
  ]),
  drained: v.tuple([v.literal('drained'), v.picklist(['stdout', 'stderr', 'tty']), count, v.boolean()]),
  stopped: v.tuple([v.literal('stopped'), signalName]),
  continued: v.tuple([v.literal('continued')]),
  taken: v.tuple([v.literal('taken')]),
  empty: v.tuple([v.literal('empty')]),
}

const listed: Schemas<ListItem> = { command: v.tuple([v.literal('command'), facts]) }

/** A message as bytes. */
export function encodeControl(message: ToServer | ToClient | ListItem): Uint8Array {
  const body = encodeCbor(message, MAX_CONTROL_BYTES, 'a control message')
  const whole = Buffer.allocUnsafeSlow(LENGTH_BYTES + body.byteLength)
  whole.writeUInt32BE(body.byteLength)
  whole.set(body, LENGTH_BYTES)
  return whole
}

/** What a server reads of a client. */
export function controlOfClient(pipe: Pipe): AsyncGenerator<ToServer, void, undefined> {
  return messagesOf(pipe, toServer)
}

/** What a client reads of a server. */
export function controlOfServer(pipe: Pipe): AsyncGenerator<ToClient, void, undefined> {
  return messagesOf(pipe, toClient)
}

/** What a client reads of a list. */
export function itemsOfServer(pipe: Pipe): AsyncGenerator<ListItem, void, undefined> {
  return messagesOf(pipe, listed)
}

/**
 * Each message of a kind that is known. Throws ERR_MESSAGE_INVALID for what is none, or for a
 * message that was cut off.
 */
async function* messagesOf<Message extends readonly [string, ...unknown[]]>(
  pipe: Pipe,
  schemas: Schemas<Message>,
): AsyncGenerator<Message, void, undefined> {
  let held: Uint8Array = new Uint8Array(0)
  for await (const data of pipe.source as AsyncIterable<Uint8ArrayList>) {
    held = held.byteLength === 0 ? data.subarray() : Buffer.concat([held, data.subarray()])
    let at = 0
    while (held.byteLength - at >= LENGTH_BYTES) {
      const length = new DataView(held.buffer, held.byteOffset + at).getUint32(0)
      if (length > MAX_CONTROL_BYTES) throw invalid(`a control message has at most ${MAX_CONTROL_BYTES} bytes`)
      if (held.byteLength - at - LENGTH_BYTES < length) break
      const end = at + LENGTH_BYTES + length
      const message = decoded(held.subarray(at + LENGTH_BYTES, end), schemas)
      at = end
      if (message !== undefined) yield message
    }
    held = held.slice(at)
  }
  if (held.byteLength > 0) throw invalid('a control message was cut off')
}

function decoded<Message extends readonly [string, ...unknown[]]>(
  bytes: Uint8Array,
  schemas: Schemas<Message>,
): Message | undefined {
  const value = decodeCbor(bytes, 'ERR_MESSAGE_INVALID', 'a control message')
  if (!Array.isArray(value) || typeof value[0] !== 'string') throw invalid('a control message is not an array')
  const [type] = value as [string]
  if (!Object.hasOwn(schemas, type)) return undefined
  const schema = (schemas as Record<string, v.GenericSchema<unknown, Message>>)[type]
  const result = schema === undefined ? undefined : v.safeParse(schema, value, { abortEarly: true })
  if (result?.success !== true) throw invalid(`the control message ${JSON.stringify(type)} cannot be read`)
  return result.output
}

function invalid(sentence: string): TrunkError {
  return new TrunkError('ERR_MESSAGE_INVALID', sentence)
}
