/**
 * The asking side of `tcp-listener`. Keeps a few accept requests under way ahead of the application
 * and no more: an application that is slow to take connections leaves them in the serving kernel's
 * backlog.
 *
 * Enforces `accepts`: requests under way and connections not yet taken, together. Assumes nothing
 * of the peer: its replies are checked.
 */
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import { unwrap, type Decoded } from '../internal/decoded.ts'
import type { TcpPipe } from '../tcp-connection/client.ts'
import { Listening, type ListeningOptions } from './listening.ts'
import { decodeReply, decodeRequest, encodeRequest, NAME, type ListenReply, type ListenRequest } from './messages.ts'

/** Where the peer is to listen. */
export interface TcpBind {
  /** An address, or a name that the peer resolves. @default '127.0.0.1' */
  readonly host?: string
  /** 0 lets the peer's system choose. */
  readonly port: number
}

/** Options of {@link tcpListen}: its signal gives the attempt up, and ends the listening later. */
export interface TcpListenOptions extends Pick<OpenOptions, 'signal' | 'answerTimeoutMs'> {
  /**
   * Connections asked for ahead of the application, 1 to 32. Each holds one of the trunk's places
   * for opens that wait (`maxWaitingPipes`, 64), so few are better where there are many listeners.
   * @default 2
   */
  accepts?: number
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/** How long the peer may take to resolve and bind, unless the caller says otherwise. */
const ANSWER_TIMEOUT_MS = 60_000

/** A pipe that carries a connection which the peer accepted. */
export type TcpIncoming = TcpPipe

/**
 * A port at the peer that is listened to. Iterating gives each connection once; leaving the loop
 * closes it.
 */
export interface TcpListening extends AsyncIterable<TcpIncoming>, AsyncDisposable {
  /** The real address. */
  readonly address: { readonly host: string; readonly port: number }
  /**
   * Frees the port, and resets connections that were not taken; those that were go on. Resolves
   * when the port is free. Never rejects.
   */
  close(): Promise<void>
}

/**
 * Has the peer listen at `at` and gives its connections. Iterating throws when the listening was
 * lost: with the session, or because the peer ended it.
 *
 * Rejects with ERR_BAD_ARGUMENT before anything is sent; with the peer's refusal: ERR_DENIED,
 * ERR_ADDRESS_IN_USE, ERR_BIND_DENIED, ERR_ADDRESS_UNAVAILABLE, ERR_NAME_NOT_FOUND,
 * ERR_LISTENER_LIMIT; with ERR_MESSAGE_INVALID for a reply that is none.
 *
 * @example
 * ```ts
 * const listening = await tcpListen(trunk, { host: '127.0.0.1', port: 0 })
 * for await (const pipe of listening) void pipe.sink(pipe) // an echo server at the peer
 * ```
 */
export async function tcpListen(trunk: Trunk, at: TcpBind, options: TcpListenOptions = {}): Promise<TcpListening> {
  const accepts = requireInteger('accepts', options.accepts ?? 2, 1, 32)
  const request = listenRequest(at)
  const { signal, answerTimeoutMs = ANSWER_TIMEOUT_MS } = options
  const open = signal === undefined ? { answerTimeoutMs } : { answerTimeoutMs, signal }
  const control = await trunk.open(NAME, encodeRequest(request), open)
  const reply = listenReply(control)
  return new TcpListeningAt(reply, trunk, control, {
    name: NAME,
    listener: reply.listener,
    accepts,
    clock: options.clock ?? systemClock,
    accepted,
  })
}

class TcpListeningAt extends Listening<TcpIncoming> implements TcpListening {
  readonly address: { readonly host: string; readonly port: number }

  constructor({ host, port }: ListenReply, trunk: Trunk, control: Pipe, options: ListeningOptions) {
    super(trunk, control, options)
    this.address = { host, port }
  }
}

function accepted(reply: unknown): Decoded<number> {
  const decoded = decodeReply(reply)
  if (!decoded.ok) return decoded
  if (decoded.value.op === 'accept') return { ok: true, value: decoded.value.request }
  return { ok: false, error: new TrunkError('ERR_MESSAGE_INVALID', `${NAME} answered an accept with something else`) }
}

function listenRequest(at: TcpBind): ListenRequest {
  const { host, port } = at
  const checked = decodeRequest(host === undefined ? { op: 'listen', port } : { op: 'listen', host, port })
  if (!checked.ok) throw badArgument(`not an address of tcpListen: ${checked.error.message}`)
  return checked.value as ListenRequest
}

function listenReply(control: Pipe): ListenReply {
  try {
    const reply = unwrap(decodeReply(control.reply))
    if (reply.op === 'listen') return reply
    throw new TrunkError('ERR_MESSAGE_INVALID', `${NAME} answered a listen with something else`)
  } catch (error) {
    // Only the two errors above get here.
    if (error instanceof TrunkError) control.abort(error)
    throw error
  }
}
