/** The messages of `tcp-connection`: one request in the open, one reply in its acceptance. */
import * as v from 'valibot'
import { decodeWith, type Decoded } from '../internal/decoded.ts'
import { ADDRESS_FIELDS, DialPort, Host, type TcpAddresses } from '../tcp/tcp-fields.ts'

/** The protocol's name on the wire. */
export const NAME = 'tcp-connection'

/** Asks for a connection to `host` (an address literal or a name) and `port` (1 to 65535). */
export interface ConnectRequest {
  readonly host: string
  readonly port: number
}

const Request = v.object({ host: Host, port: DialPort })
const Reply = v.object(ADDRESS_FIELDS)

/** The parameters of the open. */
export function encodeRequest(request: ConnectRequest): unknown {
  return { host: request.host, port: request.port }
}

/** Checks what a peer sent as parameters; the host comes out in canonical form. */
export function decodeRequest(params: unknown): Decoded<ConnectRequest> {
  return decodeWith(Request, params, 'ERR_PARAMS_INVALID', 'tcp-connection')
}

/** The reply of the acceptance. */
export function encodeReply(reply: TcpAddresses): unknown {
  return { ...reply }
}

/** Checks what a peer sent as reply. */
export function decodeReply(reply: unknown): Decoded<TcpAddresses> {
  return decodeWith(Reply, reply, 'ERR_MESSAGE_INVALID', 'the reply to tcp-connection')
}
