/**
 * From an address to a trunk: the only place in src/ that knows of transports, and that only by
 * their schemes' table. Whatever fails on the way, the link that was made is closed.
 */
import { SCHEMES } from './schemes.ts'
import { badArgument, TrunkError } from '../contracts/errors.ts'
import { establish, requireResumable, resolveOptions, type Settings } from './establish.ts'
import { callNow } from './foreign-call.ts'
import { dialSession } from '../session/dial-session.ts'
import { connectLasting } from '../session/reconnecting-trunk.ts'
import { abortLink, safeLink } from './safe-link.ts'
import { requireTraits, safeTransport } from './safe-transport.ts'
import { schemeOf } from './scheme.ts'
import { TrunkServer } from './server.ts'
import { notify } from '../runtime/notify.ts'
import { Resuming } from '../session/resuming.ts'
import type { TrunkSession } from '../session/trunk.ts'
import type {
  ConnectOptions,
  Link,
  LinkOptions,
  Protocol,
  ReconnectingTrunk,
  ServeOptions,
  Server,
  Transport,
  TransportTraits,
  Trunk,
} from '../contracts/types.ts'

const PLAIN_TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 64 * 1024 }

/**
 * Dials `address` and agrees on a session with the peer.
 *
 * Rejects with what the transport says (ERR_CONNECT_REFUSED …), what the hello says
 * (ERR_VERSION_MISMATCH, ERR_AUTH_FAILED …), or the reason of `options.signal`. Nothing is left
 * behind then.
 *
 * With `retry: true` it tries until there is a session; it rejects with the signal's reason, or
 * with an error that trying again cannot cure. With `reconnect: true` it tries until there is a
 * session, and the trunk that it gives finds the peer again whenever it was lost. It rejects with
 * the signal's reason, or with an error that trying again cannot cure.
 *
 * @example
 * ```ts
 * const trunk = await connect('vsock://3:7000', {
 *   retry: true,
 *   signal: AbortSignal.timeout(60_000),
 * })
 * const pipe = await trunk.open('echo')
 * ```
 */
export function connect(
  address: string | Transport,
  options: ConnectOptions & { reconnect: true },
): Promise<ReconnectingTrunk>
export function connect(address: string | Transport, options?: ConnectOptions): Promise<Trunk>
export async function connect(address: string | Transport, options: ConnectOptions = {}): Promise<Trunk> {
  const settings = resolveOptions('connect', options)
  const transport = await resolveTransport(address, options)
  const signal = options.signal ?? new AbortController().signal
  if (signal.aborted) throw signal.reason
  const { clock, limits } = settings
  requireResumable(options, transport.traits)
  const { onConnection, reconnect, retry } = options
  const resuming = options.resume === true ? new Resuming(settings, reconnect === true) : undefined
  const dial = async (
    attempt: AbortSignal,
    protocols: ReadonlyMap<string, Protocol>,
    going?: TrunkSession,
  ): Promise<TrunkSession> => {
    const waiting = going === undefined ? resuming?.takeFresh(protocols) : undefined
    if (waiting !== undefined) return waiting
    const link = await transport.connect({ signal: attempt, clock, limits })
    const { scheme, address: at, traits } = transport
    const onDetached = (session: TrunkSession, error: TrunkError): void => {
      resuming?.detached(session, error, (again) => dial(again, protocols, session))
    }
    const facts = { scheme, address: at, traits, resume: { going: going?.resumable, onDetached } }
    return await establish(link, 'connect', facts, { ...settings, protocols, options: { ...options, signal: attempt } })
  }
  const parts = { dial, protocols: settings.protocols, limits, clock, onConnection, links: resuming }
  if (reconnect === true) return await connectLasting(parts, signal)
  return await dialSession(parts, signal, retry === true)
}

/**
 * Agrees on a session over a duplex of bytes that the caller brings. The link is the trunk's from
 * here on, and is closed if this rejects.
 *
 * @example
 * ```ts
 * const [here, there] = memoryPair()
 * const [near, far] = await Promise.all([overLink(here), overLink(there, { protocols: [echo] })])
 * ```
 */
export async function overLink(link: Link, options: LinkOptions = {}): Promise<Trunk> {
  let settings: Settings
  let traits = PLAIN_TRAITS
  try {
    settings = resolveOptions('overLink', options)
    if (options.token !== undefined && options.role === undefined) {
      throw badArgument("overLink with a token needs role: 'connect' on one side and 'serve' on the other")
    }
    if (options.traits !== undefined) traits = requireTraits(options.traits)
  } catch (error) {
    abortLink(link, error as TrunkError)
    throw error
  }
  const { clock, limits } = settings
  const safe = safeLink(link, { clock, closeTimeoutMs: limits.closeTimeoutMs })
  const line = { scheme: 'link', address: safe.peer ?? 'link', traits }
  return await establish(safe, options.role ?? 'peer', line, settings)
}

/**
 * Listens at `address`; each link becomes a trunk that serves `options.protocols`. Trunks live on
 * whether the server is iterated or not. Rejects with what the transport says (ERR_ADDRESS_IN_USE
 * …).
 *
 * @example
 * ```ts
 * const server = await serve('tcp://127.0.0.1:0', { protocols: [echo], token: secret })
 * console.log(server.address)
 * for await (const trunk of server) console.log(trunk.status().peer.name)
 * ```
 */
export async function serve(address: string | Transport, options: ServeOptions = {}): Promise<Server> {
  const settings = resolveOptions('serve', options)
  const transport = await resolveTransport(address, options)
  const signal = options.signal ?? new AbortController().signal
  if (signal.aborted) throw signal.reason
  requireResumable(options, transport.traits)
  const { clock, limits } = settings
  const onWaiting = (error: TrunkError): void => {
    notify(options.onSessionError, { peer: transport.address, error })
  }
  const listener = await transport.listen({ signal, clock, limits, onWaiting })
  return new TrunkServer(listener, transport, settings, options.onSessionError)
}

type AddressOptions = Pick<ConnectOptions, 'transports'>

async function resolveTransport(address: string | Transport, options: AddressOptions): Promise<Transport> {
  return safeTransport(typeof address === 'object' ? address : await transportFor(address, options))
}

async function transportFor(address: string, options: AddressOptions): Promise<unknown> {
  if (typeof address !== 'string') throw badArgument(`an address is a string or a transport, not ${typeof address}`)
  const scheme = schemeOf(address)
  const own = options.transports
  if (own !== undefined && Object.hasOwn(own, scheme)) {
    const factory = own[scheme]
    if (factory !== undefined) {
      const failed = `the transport for ${JSON.stringify(scheme)} cannot be made`
      return callNow(() => factory(address), 'ERR_TRANSPORT_UNAVAILABLE', failed)
    }
  }
  const load = SCHEMES[scheme]
  if (load === undefined) {
    const known = Object.keys(SCHEMES).join(', ')
    throw new TrunkError(
      'ERR_TRANSPORT_UNKNOWN',
      `there is no transport for ${JSON.stringify(scheme)}; there are ${known}`,
    )
  }
  const factory = await load()
  return factory(address)
}
