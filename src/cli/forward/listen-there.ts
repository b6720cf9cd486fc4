/**
 * `-R`: the peer listens; for each of its connections this machine dials, the target of the forward or, as a proxy, what the connection's client asks for. The peer's listener goes with its session, so each new session is asked for
 * it again, at the same port; where that is refused for the time being, it is asked again after a while.
 */
import type { Connection } from '../../../protocols/tcp/connection.ts'
import { literalsOf } from '../../../protocols/tcp/resolve.ts'
import { dial } from '../../../protocols/tcp-connection/dial.ts'
import { tcpListen } from '../../../protocols/tcp-listener.ts'
import type { TcpListening } from '../../../protocols/tcp-listener.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { DEFAULT_LIMITS } from '../../index.ts'
import type { Pipe, ReconnectingTrunk } from '../../index.ts'
import { TrunkError, toTrunkError } from '../../contracts/errors.ts'
import { formatHostPort } from '../../runtime/host-port.ts'
import { connectError } from '../../runtime/net-errors.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import { asError } from '../context.ts'
import type { Context } from '../context.ts'
import { asFailure, EXIT } from '../failure.ts'
import { carry, MAX_CONNECTIONS, sayConnectionError } from './forward.ts'
import type { Forward } from './forward.ts'
import type { ForwardSpec, ListenSpec } from './spec.ts'

/** Connections that one forward asks for ahead: with a connection for each request 8 serve 1.8 times as many as 2, and 16 no more. */
const MAX_ACCEPTS = 8
/** And all of them together: half of the opens that may wait (`maxWaitingPipes`), the others being for whatever else is opened. */
const ALL_ACCEPTS = 32

/** What becomes of a connection that the peer has accepted. */
export interface Served {
  /** What stands behind the arrow. */
  readonly to: string
  /** Is given each connection, and owns it. Never rejects. */
  readonly serve: (pipe: Pipe, description: string) => Promise<void>
}

/** {@link Served} for a forward with a target. */
export function servedByDialling(context: Context, spec: ForwardSpec): Served {
  return {
    to: formatHostPort(spec.host, spec.hostPort),
    serve: (pipe, description) => forwardOne(context, pipe, spec, description),
  }
}

/**
 * Asks the peer to listen at `at`. Rejects with its refusal.
 * @param forwards how many such forwards this trunk will have
 */
export async function listenThere(
  context: Context,
  trunk: ReconnectingTrunk,
  at: ListenSpec,
  served: Served,
  forwards: number = 1,
): Promise<Forward> {
  const accepts = Math.max(1, Math.min(MAX_ACCEPTS, Math.floor(ALL_ACCEPTS / forwards)))
  const wanted = { ...at, ...served, accepts }
  const interrupted = new AbortController()
  const unsubscribe = onAbort(context.signal, () => interrupted.abort(asError(context.signal.reason)))
  try {
    return new ForwardFromThere(context, trunk, wanted, await listen(trunk, wanted, at.port, interrupted.signal))
  } finally {
    // from here on the forward is ended by its `close`, which leaves the connections that stand alone
    unsubscribe()
  }
}

/** A forward, and how many connections it asks for ahead. */
type Wanted = ListenSpec & Served & { readonly accepts: number }

async function listen(
  trunk: ReconnectingTrunk,
  { bind, accepts }: Wanted,
  port: number,
  signal: AbortSignal,
): Promise<TcpListening> {
  return await tcpListen(trunk, bind === undefined ? { port } : { host: bind, port }, { signal, accepts })
}

class ForwardFromThere implements Forward {
  readonly description: string
  readonly port: number
  readonly ended: Promise<void>
  readonly #context: Context
  readonly #trunk: ReconnectingTrunk
  readonly #spec: Wanted
  readonly #port: number
  readonly #backoff: Backoff
  #listening: TcpListening
  #sessions: number
  /** While the peer is asked anew. */
  #asking: AbortController | undefined
  #closed = false
  #active = 0
  #wake: (() => void) | undefined

  constructor(context: Context, trunk: ReconnectingTrunk, spec: Wanted, listening: TcpListening) {
    const { host, port } = listening.address
    this.description = `peer ${formatHostPort(host, port)} -> ${spec.to}`
    this.#context = context
    this.#trunk = trunk
    this.#spec = spec
    this.port = port
    this.#port = port
    this.#backoff = new Backoff({ limits: DEFAULT_LIMITS, clock: context.clock })
    this.#listening = listening
    this.#sessions = trunk.connection.sessions
    this.ended = this.#run()
  }

  close(): void {
    this.#closed = true
    void this.#listening.close()
    this.#asking?.abort(new TrunkError('ERR_ABORTED', 'the forward was closed'))
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#takeAll(this.#listening)
      } catch (error) {
        // it did not go with its session: the peer has ended it, or answers nonsense
        if (!this.#hasLost(this.#sessions)) throw error
      }
      if (!this.#isClosed()) await this.#listenAgain()
    }
  }

  #isClosed(): boolean {
    return this.#closed
  }

  /** True where the session of that number is over. */
  #hasLost(session: number): boolean {
    return this.#trunk.connection.sessions !== session || this.#trunk.status().state !== 'open'
  }

  /** Asks until the peer listens again. Rejects where that is no use, resolves without it when the forward is closed. */
  async #listenAgain(): Promise<void> {
    const asking = new AbortController()
    this.#asking = asking
    const { signal } = asking
    let said: string | undefined
    for (;;) {
      try {
        await this.#backoff.wait(signal)
        this.#listening = await listen(this.#trunk, this.#spec, this.#port, signal)
        this.#sessions = this.#trunk.connection.sessions
        this.#backoff.reset()
        break
      } catch (error) {
        if (this.#closed) return
        const { code, status } = asFailure(error)
        if (status === EXIT.denied || this.#trunk.connection.state === 'closed') throw error
        // a further loss is said elsewhere
        if (code !== said && this.#trunk.status().state === 'open')
          sayConnectionError(this.#context, this.description, error)
        said = code
      }
    }
    this.#asking = undefined
  }

  /** At most MAX_CONNECTIONS at a time: the next one is asked for when one has ended, so the rest waits at the peer's kernel. */
  async #takeAll(pipes: AsyncIterable<Pipe>): Promise<void> {
    for await (const pipe of pipes) {
      this.#active += 1
      void this.#spec.serve(pipe, this.description).then(() => {
        this.#active -= 1
        this.#wake?.()
      })
      while (this.#active >= MAX_CONNECTIONS) await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}

/** Never rejects: what goes wrong ends this connection only, and is one line. */
async function forwardOne(context: Context, pipe: Pipe, spec: ForwardSpec, description: string): Promise<void> {
  let connection: Connection
  try {
    connection = await connectTo(context, spec, pipe.signal)
  } catch (error) {
    pipe.abort(toTrunkError(error, 'ERR_CONNECT_UNREACHABLE', 'the connection could not be made'))
    sayConnectionError(context, description, error)
    return
  }
  await carry(pipe, connection)
}

async function connectTo(
  { clock }: Context,
  { host, hostPort }: ForwardSpec,
  signal: AbortSignal,
): Promise<Connection> {
  const target = formatHostPort(host, hostPort)
  try {
    return await dial(await literalsOf(host), hostPort, { target, signal, clock })
  } catch (error) {
    throw connectError(error, target)
  }
}
