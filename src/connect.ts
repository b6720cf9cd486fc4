/**
 * From an address to a trunk: the only place in src/ that knows of transports, and that only by their schemes' table.
 * Whatever fails on the way, the link that was made is closed.
 */
import { randomBytes } from 'node:crypto'
import { SCHEMES } from '../transports/schemes.ts'
import { systemClock, type Clock } from './clock.ts'
import { badArgument, TrunkError, toTrunkError } from './errors.ts'
import { WIRE_VERSION } from './frame/constants.ts'
import { requireInteger, resolveLimits, type Limits } from './limits.ts'
import { requireProtocol } from './protocol.ts'
import { CHALLENGE_BYTES, EPOCH_BYTES, helloLimits, type Role } from './session/hello.ts'
import type { Authenticator } from './session/handshake.ts'
import { tokenAuthenticator } from './session/token.ts'
import { TrunkSession } from './trunk.ts'
import type { Link, Listener, Protocol, Server, Transport, TransportTraits, Trunk, TrunkOptions } from './types.ts'

/** Options, checked. */
interface Settings {
  readonly options: TrunkOptions
  readonly limits: Readonly<Limits>
  readonly clock: Clock
  readonly name: string
  readonly authenticator: Authenticator | undefined
  readonly protocols: ReadonlyMap<string, Protocol>
}

const MAX_PEER_NAME = 64
/** Links that are being told that the server is full; each is gone after a second at most. */
const MAX_TURNED_AWAY = 16
const PLAIN_TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 64 * 1024 }

/**
 * Dials `address` and agrees on a session with the peer.
 *
 * Rejects with what the transport says (ERR_CONNECT_REFUSED …), what the hello says (ERR_VERSION_MISMATCH, ERR_AUTH_FAILED …), or the
 * reason of `options.signal`. Nothing is left behind then.
 */
export async function connect(address: string | Transport, options: TrunkOptions = {}): Promise<Trunk> {
  const settings = resolveOptions(options)
  const transport = await resolveTransport(address, options)
  const signal = options.signal ?? new AbortController().signal
  if (signal.aborted) throw signal.reason
  const link = await transport.connect({ signal, clock: settings.clock, limits: settings.limits })
  return await establish(link, 'connect', transport, settings)
}

/**
 * Agrees on a session over a duplex of bytes that the caller brings. The link is the trunk's from here on, and is closed if this rejects.
 */
export async function overLink(link: Link, options: TrunkOptions = {}): Promise<Trunk> {
  const settings = resolveOptions(options)
  requireMembers('a link', link, ['sink', 'close', 'abort'])
  if (options.token !== undefined && options.role === undefined) {
    throw badArgument("overLink with a token needs role: 'connect' on one side and 'serve' on the other")
  }
  const traits = options.traits === undefined ? PLAIN_TRAITS : requireTraits(options.traits)
  const line = { scheme: 'link', address: link.peer ?? 'link', traits }
  return await establish(link, options.role ?? 'peer', line, settings)
}

/**
 * Listens at `address`; each link becomes a trunk that serves `options.protocols`. Trunks live on whether the server is iterated or not.
 * Rejects with what the transport says (ERR_ADDRESS_IN_USE …).
 */
export async function serve(address: string | Transport, options: TrunkOptions = {}): Promise<Server> {
  const settings = resolveOptions(options)
  const transport = await resolveTransport(address, options)
  const signal = options.signal ?? new AbortController().signal
  if (signal.aborted) throw signal.reason
  const listener = await transport.listen({ signal, clock: settings.clock, limits: settings.limits })
  return new TrunkServer(listener, transport, settings)
}

class TrunkServer implements Server {
  readonly address: string
  readonly trunks: Set<Trunk> = new Set<Trunk>()
  readonly #listener: Listener
  readonly #transport: Transport
  readonly #settings: Settings
  readonly #starting = new AbortController()
  readonly #accepting: Promise<void>
  /** Links that are saying hello: at most maxSessions. */
  readonly #establishing = new Set<Promise<Trunk>>()
  /** Trunks that no iteration has taken; those that have closed are dropped, so at most maxSessions. */
  readonly #fresh = new Set<Trunk>()
  readonly #waiting: ((result: IteratorResult<Trunk, void>) => void)[] = []
  #sessions = 0
  #turnedAway = 0
  #closing: Promise<void> | undefined
  #error: TrunkError | undefined

  constructor(listener: Listener, transport: Transport, settings: Settings) {
    this.address = listener.address
    this.#listener = listener
    this.#transport = transport
    this.#settings = settings
    this.#accepting = this.#accept()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Trunk, void, undefined> {
    for (;;) {
      const next = await this.#next()
      if (next.done === true) {
        if (this.#error !== undefined) throw this.#error
        return
      }
      yield next.value
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    this.#starting.abort(new TrunkError('ERR_SESSION_CLOSED', 'the server is closing'))
    await this.#listener.close()
    await Promise.all([...this.trunks].map((trunk) => trunk.close()))
    await this.#accepting
    this.#finish()
  }

  async #accept(): Promise<void> {
    try {
      for await (const link of this.#listener) {
        if (this.#sessions >= this.#settings.limits.maxSessions) {
          const error = new TrunkError(
            'ERR_SESSION_LIMIT',
            `at most ${this.#settings.limits.maxSessions} sessions at a time`,
          )
          this.#turnAway(link, error)
        } else void this.#start(link)
      }
    } catch (error) {
      this.#error = toTrunkError(error, 'ERR_LINK_FAILED', 'listening failed')
    }
    // A listener may end with its last link (stdio): what is still saying hello is to be offered before the end.
    await Promise.allSettled(this.#establishing)
    if (this.#closing === undefined) this.#finish()
  }

  /** One link from its hello to its end. Never rejects. */
  async #start(link: Link): Promise<void> {
    this.#sessions++
    try {
      const options = { ...this.#settings.options, signal: this.#starting.signal }
      const establishing = establish(
        link,
        'serve',
        { ...pick(this.#transport), address: this.address },
        { ...this.#settings, options },
      )
      this.#establishing.add(establishing)
      let trunk: Trunk
      try {
        trunk = await establishing
      } finally {
        this.#establishing.delete(establishing)
      }
      this.trunks.add(trunk)
      this.#fresh.add(trunk)
      this.#offer()
      await trunk.closed.catch(() => {
        // the session stood: what ends it is told by its own `closed` and its pipes, it was not rejected
      })
      this.trunks.delete(trunk)
      this.#fresh.delete(trunk)
    } catch (error) {
      this.#rejected(link, error as Error)
    } finally {
      this.#sessions--
    }
  }

  /** Tells the peer why, where that holds few links: a hello that is aborted before it begins. A flood is cut at once. */
  #turnAway(link: Link, error: TrunkError): void {
    this.#rejected(link, error)
    if (this.#turnedAway >= MAX_TURNED_AWAY) {
      link.abort(error)
      return
    }
    this.#turnedAway++
    const session = sessionOver(link, 'serve', { ...pick(this.#transport), address: this.address }, this.#settings)
    void session
      .establish(AbortSignal.abort(error))
      .catch(() => session.closed)
      .catch(() => {
        // that is the error that we sent
      })
      .finally(() => this.#turnedAway--)
  }

  #rejected(link: Link, error: Error): void {
    this.#settings.options.onRejected?.({ peer: link.peer ?? '', error })
  }

  #next(): Promise<IteratorResult<Trunk, void>> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#offer()
    })
  }

  #offer(): void {
    for (const trunk of this.#fresh) {
      const resolve = this.#waiting.shift()
      if (resolve === undefined) return
      this.#fresh.delete(trunk)
      resolve({ done: false, value: trunk })
    }
    if (this.#over) this.#finish()
  }

  #over = false

  #finish(): void {
    this.#over = true
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
  }
}

function pick(transport: Transport): { scheme: string; traits: TransportTraits } {
  return { scheme: transport.scheme, traits: transport.traits }
}

/** What a trunk says of its line. */
interface LineFacts {
  readonly scheme: string
  readonly address: string
  readonly traits: TransportTraits
}

async function establish(link: Link, role: Role, line: LineFacts, settings: Settings): Promise<Trunk> {
  const trunk = sessionOver(link, role, line, settings)
  await trunk.establish(settings.options.signal)
  return trunk
}

function sessionOver(link: Link, role: Role, line: LineFacts, settings: Settings): TrunkSession {
  const { limits, clock, name, authenticator, protocols, options } = settings
  return new TrunkSession({
    link,
    limits,
    clock,
    authenticator,
    protocols,
    scheme: line.scheme,
    address: line.address,
    traits: line.traits,
    onRefused: options.onRefused,
    hello: {
      versions: [WIRE_VERSION, WIRE_VERSION],
      epoch: randomBytes(EPOCH_BYTES),
      name,
      role,
      limits: helloLimits(limits),
      protocols: [...protocols.keys()],
      features: [],
      challenge: authenticator === undefined ? undefined : randomBytes(CHALLENGE_BYTES),
    },
  })
}

function resolveOptions(options: TrunkOptions): Settings {
  const name = options.name ?? 'trunkline'
  if (typeof name !== 'string' || Buffer.byteLength(name) > MAX_PEER_NAME) {
    throw badArgument(`name is a string of at most ${MAX_PEER_NAME} bytes, not ${JSON.stringify(name)}`)
  }
  const role: unknown = options.role
  if (role !== undefined && role !== 'connect' && role !== 'serve') {
    throw badArgument(`role is 'connect' or 'serve', not ${JSON.stringify(role)}`)
  }
  const given: unknown = options.protocols
  if (given !== undefined && !Array.isArray(given)) throw badArgument(`protocols is an array, not ${typeof given}`)
  const protocols = new Map<string, Protocol>()
  for (const protocol of options.protocols ?? []) {
    requireProtocol(protocol)
    if (protocols.has(protocol.name)) throw badArgument(`protocol ${JSON.stringify(protocol.name)} is given twice`)
    protocols.set(protocol.name, protocol)
  }
  return {
    options,
    name,
    protocols,
    limits: resolveLimits(options.limits),
    clock: options.clock ?? systemClock,
    authenticator: options.token === undefined ? undefined : tokenAuthenticator(options.token),
  }
}

const SCHEME = /^([a-z][a-z0-9+.-]*):/i

async function resolveTransport(address: string | Transport, options: TrunkOptions): Promise<Transport> {
  const transport = typeof address === 'object' ? address : await transportFor(address, options)
  requireMembers('a transport', transport, ['connect', 'listen'])
  requireTraits(transport.traits)
  return transport
}

/** What comes from outside the package may come without types. */
function requireMembers(what: string, given: unknown, methods: readonly string[]): void {
  if (typeof given !== 'object' || given === null) throw badArgument(`${what} is an object, not ${String(given)}`)
  const members = given as Record<string, unknown>
  for (const name of methods) {
    if (typeof members[name] !== 'function')
      throw badArgument(`${what} has a method ${name}, not ${typeof members[name]}`)
  }
}

function requireTraits(given: unknown): TransportTraits {
  if (typeof given !== 'object' || given === null) throw badArgument(`traits is an object, not ${String(given)}`)
  const traits = given as TransportTraits
  requireInteger('traits.preferredFrameBytes', traits.preferredFrameBytes, 64, 2 ** 24 - 1)
  return traits
}

async function transportFor(address: string, options: TrunkOptions): Promise<Transport> {
  if (typeof address !== 'string') throw badArgument(`an address is a string or a transport, not ${typeof address}`)
  const scheme = SCHEME.exec(address)?.[1]?.toLowerCase()
  if (scheme === undefined) {
    throw new TrunkError(
      'ERR_ADDRESS_INVALID',
      `${JSON.stringify(address)} is no address: it begins with no scheme such as tcp:`,
    )
  }
  const own = options.transports
  if (own !== undefined && Object.hasOwn(own, scheme)) {
    const factory = own[scheme]
    if (factory !== undefined) return factory(address)
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
