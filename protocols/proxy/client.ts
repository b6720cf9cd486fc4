/**
 * A client of the proxy, whichever kind of line it comes by (client-connection.ts, client-pipe.ts),
 * and the conversation with it until its request is known.
 */
import type { Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { withDeadline } from '../../src/runtime/deadline.ts'
import { unlessAborted } from '../../src/runtime/on-abort.ts'
import { Handshake, type HandshakeOptions, type ProxyRequest } from './handshake.ts'

/** What the conversation needs of a client. */
export interface ProxyClient {
  /** Aborts when the client has gone: nothing can be said to it any more. */
  readonly gone: AbortSignal
  /**
   * The next bytes, which are the caller's; undefined where the client has ended its writing. One
   * call at a time. Rejects where the client has gone.
   */
  read(): Promise<Uint8Array | undefined>
  /** Rejects where the client has gone. */
  send(bytes: Uint8Array): Promise<void>
  /**
   * Says `reply`, where it is something, and leaves. Never rejects, and resolves when nothing is
   * left of the client. Harmless when repeated.
   */
  leave(reply: Uint8Array): Promise<void>
}

/** How long everything may take that a client says before its request is known. */
export const HANDSHAKE_MS = 10_000
/**
 * How long a client that was refused may take to read why: cut at once, a line may lose the answer.
 */
export const LEAVE_MS = 2_000

const NOTHING = new Uint8Array(0)

/** A request, and what came behind it. */
export interface Asked {
  readonly request: ProxyRequest
  readonly rest: Uint8Array
}

/**
 * Has the client say what it wants; undefined where it left before that. Where it is nothing that
 * is served, the client is told, and left, before this rejects: with ERR_MESSAGE_INVALID,
 * ERR_DENIED (no password, or a wrong one) or ERR_CONNECT_TIMEOUT.
 */
export async function ask(client: ProxyClient, clock: Clock, options: HandshakeOptions): Promise<Asked | undefined> {
  const handshake = new Handshake(options)
  let late: TrunkError | undefined
  const timedOut = (): TrunkError =>
    (late = new TrunkError('ERR_CONNECT_TIMEOUT', 'a client of the proxy did not say in time what it wants'))
  let reply: Uint8Array
  let refusal: TrunkError | undefined
  try {
    const outcome = await withDeadline({ clock, ms: HANDSHAKE_MS, timedOut }, (limit) =>
      converse(client, handshake, limit),
    )
    if ('request' in outcome) return outcome
    ;({ reply, error: refusal } = outcome)
  } catch {
    reply = late === undefined ? NOTHING : handshake.timeoutReply
    // else it has left: that is its good right
    refusal = late
  }
  await client.leave(reply)
  if (refusal !== undefined) throw refusal
  return undefined
}

/** A request, or what is said to a client that has none. */
type Outcome = Asked | { readonly reply: Uint8Array; readonly error: TrunkError | undefined }

async function converse(client: ProxyClient, handshake: Handshake, signal: AbortSignal): Promise<Outcome> {
  for (;;) {
    const bytes = await unlessAborted(client.read(), signal)
    if (bytes === undefined) return { reply: NOTHING, error: undefined }
    const progress = handshake.push(bytes)
    if (progress.state === 'refused') return progress
    if (progress.reply.byteLength > 0) await unlessAborted(client.send(progress.reply), signal)
    if (progress.state === 'request') return progress
  }
}
