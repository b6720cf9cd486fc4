/**
 * The messages of `unix-connection` and `unix-listener`: requests are parameters of an open,
 * replies come with its acceptance.
 */
import * as v from 'valibot'
import { decodeWith, type Decoded } from '../internal/decoded.ts'
import { Id, type AcceptRequest } from '../tcp-listener/messages.ts'
import { parseAddress, type UnixAddress } from './address.ts'

/** Names on the wire. */
export const CONNECTION = 'unix-connection'
export const LISTENER = 'unix-listener'

/** Asks for a connection to a socket. */
export interface ConnectRequest {
  readonly address: UnixAddress
}

/** Asks to listen. */
export interface ListenRequest {
  readonly op: 'listen'
  readonly address: UnixAddress
  /** The permission bits of the socket's file. */
  readonly mode: number
}

/** A request of `unix-listener`. */
export type ListenerRequest = ListenRequest | AcceptRequest

/** The mode of a socket that says none: nobody but its owner connects. */
export const OWNER_ONLY = 0o600

const Address: v.GenericSchema<unknown, UnixAddress> = v.pipe(
  v.union([v.string(), v.instance(Uint8Array)], 'must be a path, as text or bytes'),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const parsed = parseAddress(dataset.value)
    if (parsed.ok) return parsed.value
    addIssue({ message: parsed.why })
    return NEVER
  }),
)
const Mode = v.pipe(
  v.number('must be permission bits'),
  v.check((mode) => Number.isInteger(mode) && mode >= 0 && mode <= 0o777, 'must be permission bits, 0 to 0o777'),
)

const Connect = v.object({ path: Address })
const Listen = v.variant('op', [
  v.object({ op: v.literal('listen'), path: Address, mode: v.optional(Mode, OWNER_ONLY) }),
  v.object({ op: v.literal('accept'), listener: Id, request: Id }),
])
const ListenReply = v.object({ op: v.literal('listen'), listener: Id })
const AcceptReply = v.object({ op: v.literal('accept'), request: Id })

/** The parameters of an open of `unix-connection`. */
export function encodeConnect({ address }: ConnectRequest): unknown {
  return { path: wirePath(address) }
}

/** Checks what a peer sent as these. */
export function decodeConnect(params: unknown): Decoded<ConnectRequest> {
  const decoded = decodeWith(Connect, params, 'ERR_PARAMS_INVALID', CONNECTION)
  return decoded.ok ? { ok: true, value: { address: decoded.value.path } } : decoded
}

/** The parameters of a request to listen. */
export function encodeListen({ address, mode }: Omit<ListenRequest, 'op'>): unknown {
  return { op: 'listen', path: wirePath(address), mode }
}

/** Checks what a peer sent as a request of `unix-listener`. */
export function decodeListener(params: unknown): Decoded<ListenerRequest> {
  const decoded = decodeWith(Listen, params, 'ERR_PARAMS_INVALID', LISTENER)
  if (!decoded.ok || decoded.value.op === 'accept') return decoded as Decoded<AcceptRequest>
  const { path: address, mode } = decoded.value
  return { ok: true, value: { op: 'listen', address, mode } }
}

/** Checks the reply to a request to listen, and gives the listener's number. */
export function decodeListenReply(reply: unknown): Decoded<number> {
  const decoded = checkReply(ListenReply, reply)
  return decoded.ok ? { ok: true, value: decoded.value.listener } : decoded
}

/** Checks the reply to a request to accept, and gives that request's number. */
export function decodeAcceptReply(reply: unknown): Decoded<number> {
  const decoded = checkReply(AcceptReply, reply)
  return decoded.ok ? { ok: true, value: decoded.value.request } : decoded
}

function checkReply<T>(schema: v.GenericSchema<unknown, T>, reply: unknown): Decoded<T> {
  return decodeWith(schema, reply, 'ERR_MESSAGE_INVALID', `the reply to ${LISTENER}`)
}

/** Text where the bytes are UTF-8. */
function wirePath({ path }: UnixAddress): string | Uint8Array {
  const bytes = Buffer.from(path)
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? text : path
}
