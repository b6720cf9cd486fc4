/**
 * The asking side of `tcp-connection`. The peer's reply is checked like anything else that a peer
 * sends.
 */
import { badArgument } from '../../src/contracts/errors.ts'
import type { OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import type { TcpAddresses } from '../tcp/tcp-fields.ts'
import { decodeReply, decodeRequest, encodeRequest, NAME } from './messages.ts'

/**
 * Where the peer is to connect: an address or a name that the peer resolves, and a port from 1 to
 * 65535.
 */
export interface TcpTarget {
  /** An IP address, or a name that the peer resolves. */
  readonly host: string
  /** A port from 1 to 65,535. */
  readonly port: number
}

/**
 * Options of {@link tcpConnect}: its signal gives the attempt up, and resets the pipe later.
 * `answerTimeoutMs` is 60,000 unless it is given.
 */
export type TcpConnectOptions = Pick<OpenOptions, 'signal' | 'answerTimeoutMs'>

/** How long the peer may take: six times what it has by default to resolve and dial. */
const ANSWER_TIMEOUT_MS = 60_000

/** A pipe that carries a TCP connection. */
export interface TcpPipe extends Pipe {
  /** The connection's ends as the peer's system sees them. */
  readonly reply: TcpAddresses
}

/**
 * Has the peer connect to `to` and gives the pipe that carries the connection, once that stands.
 * Ending the pipe's writing ends the connection's (FIN), resetting resets (RST), and the reverse.
 *
 * Rejects with ERR_BAD_ARGUMENT for a target that can be none, before anything is sent; with the
 * peer's refusal: ERR_CONNECT_REFUSED, ERR_CONNECT_UNREACHABLE, ERR_CONNECT_TIMEOUT,
 * ERR_NAME_NOT_FOUND, ERR_DENIED, ERR_CONNECTION_LIMIT; with ERR_MESSAGE_INVALID for a reply that
 * is none.
 *
 * @example
 * ```ts
 * const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: 80 })
 * await pipe.sink([Buffer.from('GET / HTTP/1.0\r\n\r\n')])
 * console.log(await text(pipe))
 * ```
 */
export async function tcpConnect(trunk: Trunk, to: TcpTarget, options: TcpConnectOptions = {}): Promise<TcpPipe> {
  const checked = decodeRequest(to)
  if (!checked.ok) throw badArgument(`not a target of tcpConnect: ${checked.error.message}`)
  const pipe = await trunk.open(NAME, encodeRequest(checked.value), {
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    ...options,
    readBeforeReset: true,
  })
  const reply = decodeReply(pipe.reply)
  if (!reply.ok) {
    pipe.abort(reply.error)
    throw reply.error
  }
  // Checked just above: the reply is what the type says.
  return pipe as TcpPipe
}
