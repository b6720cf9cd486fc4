/**
 * Forwards where the peer listens. Its listener goes with its session, so on a trunk that
 * reconnects each new session is asked for it again, at the same port; where that is refused for
 * the time being, it is asked again after a while.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { DEFAULT_LIMITS } from '../../src/index.ts'
import type { Pipe, ReconnectingTrunk, Trunk } from '../../src/index.ts'
import { Backoff } from '../../src/runtime/backoff.ts'
import { Semaphore } from '../../src/runtime/semaphore.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { tcpListen, type TcpBind, type TcpListening } from '../tcp-listener/client.ts'
import { unixListen, type UnixListening } from '../unix/listener-client.ts'
import type { Carrying } from './carry.ts'
import { connectionsOf, RunningForward } from './running.ts'
import type { Forward, ForwardOptions } from './types.ts'

/** With a connection for each request, 8 serve 1.8 times as many as 2, and 16 no more. */
const DEFAULT_ACCEPTS = 8
const MAX_ACCEPTS = 32

/** Refusals that asking again cannot change. */
const PERMANENT: ReadonlySet<string> = new Set([
  'ERR_BAD_ARGUMENT',
  'ERR_DENIED',
  'ERR_AUTH_REQUIRED',
  'ERR_AUTH_FAILED',
  'ERR_PROTOCOL_UNKNOWN',
])

/** What becomes of a connection that the peer has accepted. */
export interface Served {
  /** What is behind the arrow. */
  readonly to: string
  /** Is given each connection, and owns it. Rejects with why it led nowhere. */
  readonly serve: (pipe: Pipe, carrying: Carrying) => Promise<void>
}

/** Asks the peer to listen. Rejects with its refusal, or the signal's reason. */
export async function listenThere(
  trunk: Trunk,
  options: ForwardOptions & { accepts?: number },
  served: Served,
): Promise<Forward> {
  const { listen: at, signal, onFailure, clock = systemClock } = options
  const accepts = requireInteger('accepts', options.accepts ?? DEFAULT_ACCEPTS, 1, MAX_ACCEPTS)
  const maxConnections = connectionsOf(options)
  // the user's own signal would go on to reset the connections of the listening; here it ends the
  // forward
  const attempt = new AbortController()
  const giveUp = (): void => attempt.abort(signal?.reason)
  if (signal?.aborted === true) giveUp()
  else signal?.addEventListener('abort', giveUp, { once: true })
  try {
    const ask = (of: AbortSignal): { signal: AbortSignal; accepts: number; clock: Clock } => ({
      signal: of,
      accepts,
      clock,
    })
    const listen = (port: number, of: AbortSignal): Promise<Listened> =>
      'path' in at ? unixListen(trunk, at, ask(of)) : tcpListen(trunk, { ...at, port } satisfies TcpBind, ask(of))
    const listening = await listen('path' in at ? 0 : at.port, attempt.signal)
    const address = 'path' in at ? { host: '', port: 0, path: at.path } : boundAt(listening)
    const remote = new RemoteListener(trunk, { listening, clock, maxConnections, listen, serve: served.serve })
    const forward = new RunningForward({
      trunk,
      address,
      side: 'peer ',
      to: served.to,
      ...(signal && { signal }),
      ...(onFailure && { onFailure }),
      stop: () => remote.close(),
    })
    remote.run(forward).catch((error: unknown) => forward.fail(error))
    return forward
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}

/** A listening of either protocol. */
type Listened = TcpListening | UnixListening

function boundAt(listening: Listened): Forward['address'] {
  return 'address' in listening ? listening.address : { host: '', port: 0 }
}

interface RemoteListenerOptions {
  readonly listening: Listened
  readonly clock: Clock
  readonly maxConnections: number
  readonly listen: (port: number, signal: AbortSignal) => Promise<Listened>
  readonly serve: Served['serve']
}

class RemoteListener {
  readonly #trunk: Trunk | ReconnectingTrunk
  readonly #options: RemoteListenerOptions
  readonly #backoff: Backoff
  #listening: Listened
  #session: number
  /** While the peer is asked again. */
  #asking: AbortController | undefined
  /** Connections at a time. */
  readonly #turns: Semaphore

  constructor(trunk: Trunk, options: RemoteListenerOptions) {
    this.#trunk = trunk
    this.#options = options
    this.#backoff = new Backoff({ limits: DEFAULT_LIMITS, clock: options.clock })
    this.#turns = new Semaphore(options.maxConnections)
    this.#listening = options.listening
    this.#session = this.#sessions
  }

  /** Frees the port. */
  async close(): Promise<void> {
    this.#asking?.abort(new TrunkError('ERR_ABORTED', 'the forward was closed'))
    await this.#listening.close()
  }

  /** Takes connections until `forward` is closed; rejects with what ended that. */
  async run(forward: RunningForward): Promise<void> {
    while (!forward.isClosed) {
      try {
        await this.#takeAll(forward)
      } catch (error) {
        // it did not go with its session: the peer has ended it, or answers nonsense
        if (!this.#hasLost) throw error
      }
      if (!isOver(forward)) await this.#listenAgain(forward)
    }
  }

  /** How many sessions there were; 1 where there is one only. */
  get #sessions(): number {
    return 'connection' in this.#trunk ? this.#trunk.connection.sessions : 1
  }

  /** True where the session that this was asked in is over. */
  get #hasLost(): boolean {
    return this.#sessions !== this.#session || this.#trunk.status().state !== 'open'
  }

  /** True where no further session comes. */
  #isLast(): boolean {
    return !('connection' in this.#trunk) || this.#trunk.connection.state === 'closed'
  }

  /**
   * Asks until the peer listens again. Rejects where that is no use, resolves without it when the
   * forward is closed.
   */
  async #listenAgain(forward: RunningForward): Promise<void> {
    forward.isWaiting = true
    const asking = new AbortController()
    this.#asking = asking
    const { signal } = asking
    const { port } = forward.address
    let told: string | undefined
    for (;;) {
      // the trunk says how it ended, and that ends the forward as well
      if (this.#isLast()) {
        await this.#trunk.closed
        return
      }
      try {
        await this.#backoff.wait(signal)
        this.#listening = await this.#options.listen(port, signal)
        break
      } catch (error) {
        if (forward.isClosed) return
        if (this.#isLast()) continue
        const code = error instanceof TrunkError ? error.code : ''
        if (PERMANENT.has(code)) throw error
        // a further loss of the session is the trunk's to tell
        if (code !== told && this.#trunk.status().state === 'open') forward.tell('listen', error)
        told = code
      }
    }
    this.#asking = undefined
    this.#session = this.#sessions
    this.#backoff.reset()
    forward.isWaiting = false
  }

  /**
   * The next connection is asked for when one has ended, so the rest waits at the peer's kernel.
   */
  async #takeAll(forward: RunningForward): Promise<void> {
    const { clock, serve } = this.#options
    const carrying = { broken: forward.broken, clock }
    let endTurn = await this.#turns.take()
    try {
      for await (const pipe of this.#listening) {
        void forward.carry(() => serve(pipe, carrying)).then(endTurn)
        endTurn = await this.#turns.take()
      }
    } finally {
      endTurn()
    }
  }
}

/** Asked again after a wait, as the compiler does not know. */
function isOver(forward: RunningForward): boolean {
  return forward.isClosed
}
