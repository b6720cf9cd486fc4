/**
 * The asking side of `unix-listener`. As with TCP, a few accept requests are under way ahead of the
 * application, and no more.
 */
import { badArgument } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { Listening } from '../tcp-listener/listening.ts'
import { requireAddress, type UnixPath } from './address.ts'
import { decodeAcceptReply, decodeListenReply, encodeListen, LISTENER, OWNER_ONLY } from './messages.ts'

/** Where the peer is to listen. */
export interface UnixBind {
  /** An absolute path at the peer, or `@NAME` in its abstract namespace. */
  readonly path: UnixPath
  /** Permission bits of the socket's file: who may connect. @default 0o600 */
  readonly mode?: number
}

/** Options of {@link unixListen}: its signal gives the attempt up, and ends the listening later. */
export interface UnixListenOptions extends Pick<OpenOptions, 'signal' | 'answerTimeoutMs'> {
  /** Connections asked for ahead of the application, 1 to 32, as for `tcp-listener`. @default 2 */
  accepts?: number
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/**
 * A socket at the peer that is listened to. Iterating gives each connection once; leaving the loop
 * closes it.
 */
export interface UnixListening extends AsyncIterable<Pipe>, AsyncDisposable {
  /**
   * Removes the socket, and resets connections that were not taken; those that were go on. Resolves
   * when it is removed. Never rejects.
   */
  close(): Promise<void>
}

/** How long the peer may take to bind, unless the caller says otherwise. */
const ANSWER_TIMEOUT_MS = 60_000

/**
 * Has the peer listen at a unix socket and gives its connections. Iterating throws when the
 * listening was lost: with the session, or because the peer ended it.
 *
 * Rejects with ERR_BAD_ARGUMENT before anything is sent; with the peer's refusal: ERR_DENIED,
 * ERR_ADDRESS_IN_USE, ERR_BIND_DENIED, ERR_ADDRESS_UNAVAILABLE, ERR_NO_SPACE, ERR_LISTENER_LIMIT;
 * with ERR_MESSAGE_INVALID for a reply that is none.
 *
 * @example
 * ```ts
 * const listening = await unixListen(trunk, { path: '/run/user/1000/agent.sock' })
 * for await (const pipe of listening) void pipe.sink(pipe) // an echo server at the peer
 * ```
 */
export async function unixListen(trunk: Trunk, at: UnixBind, options: UnixListenOptions = {}): Promise<UnixListening> {
  const accepts = requireInteger('accepts', options.accepts ?? 2, 1, 32)
  const { path, mode = OWNER_ONLY } = at
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) throw badArgument('mode must be permission bits, 0 to 0o777')
  const params = encodeListen({ address: requireAddress(path), mode })
  const { signal, answerTimeoutMs = ANSWER_TIMEOUT_MS } = options
  const control = await trunk.open(LISTENER, params, { answerTimeoutMs, ...(signal !== undefined && { signal }) })
  const listener = decodeListenReply(control.reply)
  if (!listener.ok) {
    control.abort(listener.error)
    throw listener.error
  }
  return new Listening<Pipe>(trunk, control, {
    name: LISTENER,
    listener: listener.value,
    accepts,
    clock: options.clock ?? systemClock,
    accepted: decodeAcceptReply,
  })
}
