/**
 * The messages of `tcp-listener`. Both requests are parameters of an open, both replies come with
 * its acceptance; the pipe of `listen` carries no bytes, that of `accept` carries the connection.
 */
import * as v from 'valibot'
import { decodeWith, type Decoded } from '../internal/decoded.ts'
import { ADDRESS_FIELDS, BindPort, Host, type TcpAddresses } from '../tcp/tcp-fields.ts'

/** The protocol's name on the wire. */
export const NAME = 'tcp-listener'

/** What is bound when the request names no host: nothing but this machine reaches it. */
export const DEFAULT_HOST = '127.0.0.1'

/** Asks to listen; port 0 lets the system choose. */
export interface ListenRequest {
  readonly op: 'listen'
  readonly host: string
  readonly port: number
}

/** Asks for one connection of a listener of this trunk; `request` comes back in the reply. */
export interface AcceptRequest {
  readonly op: 'accept'
  readonly listener: number
  readonly request: number
}

/** A request of this protocol. */
export type ListenerRequest = ListenRequest | AcceptRequest

/** The listener stands, at this real address. */
export interface ListenReply {
  readonly op: 'listen'
  readonly listener: number
  readonly host: string
  readonly port: number
}

/** A connection has arrived. */
export interface AcceptReply extends TcpAddresses {
  readonly op: 'accept'
  readonly request: number
}

/** A reply of this protocol. */
export type ListenerReply = ListenReply | AcceptReply

/** The number of a listener, or of a request. */
export const Id: v.GenericSchema<unknown, number> = v.pipe(
  v.number('must be a whole number'),
  v.check(isId, 'must be a whole number from 0 to 2^53 - 1'),
)

function isId(id: number): boolean {
  return Number.isSafeInteger(id) && id >= 0
}

const Request = v.variant('op', [
  v.object({ op: v.literal('listen'), host: v.optional(Host, DEFAULT_HOST), port: BindPort }),
  v.object({ op: v.literal('accept'), listener: Id, request: Id }),
])

const Reply = v.variant('op', [
  v.object({ op: v.literal('listen'), listener: Id, host: v.pipe(v.string(), v.maxLength(64)), port: BindPort }),
  v.object({ op: v.literal('accept'), request: Id, ...ADDRESS_FIELDS }),
])

/** The parameters of the open. */
export function encodeRequest(request: ListenerRequest): unknown {
  return { ...request }
}

/** Checks what a peer sent as parameters; a host comes out in canonical form. */
export function decodeRequest(params: unknown): Decoded<ListenerRequest> {
  return decodeWith<ListenerRequest>(Request, params, 'ERR_PARAMS_INVALID', NAME)
}

/** The reply of the acceptance. */
export function encodeReply(reply: ListenerReply): unknown {
  return { ...reply }
}

/** Checks what a peer sent as reply. */
export function decodeReply(reply: unknown): Decoded<ListenerReply> {
  return decodeWith<ListenerReply>(Reply, reply, 'ERR_MESSAGE_INVALID', `the reply to ${NAME}`)
}
