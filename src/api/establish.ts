/**
 * From a link to a trunk: what `connect`, `serve` and `overLink` have in common. Checks their
 * options, and says hello over a link. Whatever fails, the link is closed.
 */
import { processBudgets, requireBudgets, type SharedBudgets } from '../runtime/budgets.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { badArgument, TrunkError, toTrunkError } from '../contracts/errors.ts'
import { WIRE_VERSION } from '../core/frame/constants.ts'
import { CHECKED_FRAMING_DEFAULTS, resolveLimits, type Limits } from '../contracts/limits.ts'
import { freshBytes, freshMark } from '../runtime/fresh-bytes.ts'
import { requireSignal } from '../runtime/on-abort.ts'
import { requireProtocol } from '../contracts/protocol.ts'
import { requireMethods } from './safe-link.ts'
import { checksumTools } from '../session/checksum-tools.ts'
import {
  CHALLENGE_BYTES,
  EPOCH_BYTES,
  helloLimits,
  RESUME_FEATURE,
  type Hello,
  type Role,
} from '../core/session/hello.ts'
import type { Authenticator } from '../core/session/handshake.ts'
import { peerGroup } from '../session/strangers.ts'
import { tokenAuthenticator } from '../session/token.ts'
import { TrunkSession } from '../session/trunk.ts'
import type { ResumeSide } from '../core/resume/resume-handshake.ts'
import type { Engine } from '../core/session/engine.ts'
import { resumeCrypto } from '../session/resume-crypto.ts'
import type {
  ConnectOptions,
  Link,
  LinkOptions,
  Protocol,
  ServeOptions,
  TransportTraits,
  TrunkOptions,
} from '../contracts/types.ts'

/** Options, checked. */
export interface Settings {
  readonly options: TrunkOptions & { readonly resume?: boolean }
  readonly limits: Readonly<Limits>
  readonly clock: Clock
  readonly name: string
  readonly authenticator: Authenticator | undefined
  /** The token's bytes; none where there is no token. */
  readonly token: Uint8Array
  readonly protocols: ReadonlyMap<string, Protocol>
  readonly budgets: SharedBudgets
}

const MAX_PEER_NAME = 64

/** What a trunk says of its line. */
export interface LinkFacts {
  readonly scheme: string
  readonly address: string
  readonly traits: TransportTraits
  /** Waits for a peer as long as it takes. */
  readonly waitsForever?: boolean
  /** Asked before a peer gets a session; throws what refuses it. */
  readonly admit?: () => void
  /** Of sessions that outlive their links. */
  readonly resume?: LinkResume | undefined
}

/** What a link has to do with sessions that outlive theirs. */
export interface LinkResume extends Pick<ResumeSide, 'find'> {
  /** The session that is to go on over it. */
  readonly going?: Engine | undefined
  /** Told when a session that began on it has lost its link. */
  readonly onDetached?: ((session: TrunkSession, error: TrunkError) => void) | undefined
}

/**
 * Says hello over `link`; resolves when the session is established. The link keeps its contract
 * (safe-link.ts), and is closed if this rejects.
 */
export async function establish(link: Link, role: Role, line: LinkFacts, settings: Settings): Promise<TrunkSession> {
  const trunk = sessionOver(link, role, line, settings)
  await trunk.establish(settings.options.signal)
  return trunk
}

/**
 * A session over `link` that has not begun yet. Where it cannot be made (our hello is too long),
 * the link is aborted.
 */
export function sessionOver(link: Link, role: Role, line: LinkFacts, settings: Settings): TrunkSession {
  try {
    return newSession(link, role, line, settings)
  } catch (error) {
    link.abort(toTrunkError(error, 'ERR_BAD_ARGUMENT', 'the session could not be made'))
    throw error
  }
}

function newSession(link: Link, role: Role, line: LinkFacts, settings: Settings): TrunkSession {
  const { clock, name, authenticator, protocols, budgets, options } = settings
  const checked = needsCheckedFraming(line.traits)
  const limits = within(line.traits, checked ? limitsOfConnectionless(settings) : settings.limits)
  const peer = peerGroup(link.peer ?? '')
  const keyPair = options.resume === true && !checked ? resumeCrypto.keyPair() : undefined
  const { going, find, onDetached } = line.resume ?? {}
  const hello = (): Hello => ({
    versions: [WIRE_VERSION, WIRE_VERSION],
    epoch: freshMark(EPOCH_BYTES),
    name,
    role,
    limits: helloLimits({ ...limits, initialWindowBytes: budgets.initialWindow(peer, limits.initialWindowBytes) }),
    protocols: [...protocols.keys()],
    features: keyPair === undefined ? [] : [RESUME_FEATURE],
    resume: keyPair && {
      key: keyPair.publicKey,
      keepMs: limits.resumeMs,
      ...(going && { session: going.secret.id, attempt: ++going.attempt }),
    },
    challenge: authenticator === undefined ? undefined : freshBytes(CHALLENGE_BYTES),
  })
  return new TrunkSession({
    link,
    limits,
    clock,
    authenticator,
    protocols,
    budgets,
    scheme: line.scheme,
    address: line.address,
    traits: line.traits,
    checksumTools: checked ? checksumTools : undefined,
    waitsForever: line.waitsForever,
    admit: line.admit,
    onPipeError: options.onPipeError,
    resume: keyPair && { crypto: resumeCrypto, keyPair, token: settings.token, going, find },
    onDetached,
    hello: hello(),
    renewHello: hello,
  })
}

/** True for a connectionless or lossy link: its frames are checked. */
export function needsCheckedFraming(traits: TransportTraits): boolean {
  return !traits.connected || !traits.lossless
}

/**
 * Throws where sessions cannot outlive links of this kind: on those frames are lost in ways that no
 * offset tells.
 */
export function requireResumable({ resume }: { resume?: boolean | undefined }, traits: TransportTraits): void {
  if (resume !== true || !needsCheckedFraming(traits)) return
  throw new TrunkError('ERR_UNSUPPORTED', 'resume needs a line that is connected and lossless, as sockets are')
}

/** The limits, where the line has one of its own. */
function within({ maxInFlightBytes }: TransportTraits, limits: Readonly<Limits>): Readonly<Limits> {
  if (maxInFlightBytes === undefined || maxInFlightBytes >= limits.maxInFlightBytes) return limits
  return { ...limits, maxInFlightBytes }
}

function limitsOfConnectionless({ limits, options }: Settings): Readonly<Limits> {
  const given = Object.entries(options.limits ?? {}).filter(([, value]) => (value as unknown) !== undefined)
  return { ...limits, ...CHECKED_FRAMING_DEFAULTS, ...Object.fromEntries(given) }
}

/** The calls that make trunks, each with the options that only it takes, or it and another. */
const OWN_OPTIONS = {
  connect: ['resume', 'transports', 'retry', 'reconnect', 'onConnection'],
  serve: ['resume', 'transports', 'onSessionError'],
  overLink: ['role', 'traits'],
} as const

/** Refuses an option of another call: it would do nothing. */
function requireOwn(call: keyof typeof OWN_OPTIONS, options: object): void {
  const own: readonly string[] = OWN_OPTIONS[call]
  for (const [other, names] of Object.entries(OWN_OPTIONS)) {
    for (const name of names) {
      if (own.includes(name) || (options as Record<string, unknown>)[name] === undefined) continue
      throw badArgument(`${call} has no ${name}: ${name} is an option of ${other}`)
    }
  }
}

/** Checks the options of `call`; throws ERR_BAD_ARGUMENT. */
export function resolveOptions(
  call: keyof typeof OWN_OPTIONS,
  options: ConnectOptions | ServeOptions | LinkOptions,
): Settings {
  requireOwn(call, options)
  const name = options.name ?? 'trunkline'
  if (typeof name !== 'string' || Buffer.byteLength(name) > MAX_PEER_NAME) {
    throw badArgument(`name is a string of at most ${MAX_PEER_NAME} bytes, not ${JSON.stringify(name)}`)
  }
  const role: unknown = options.role
  if (role !== undefined && role !== 'connect' && role !== 'serve') {
    throw badArgument(`role is 'connect' or 'serve', not ${JSON.stringify(role)}`)
  }
  for (const [name, given] of Object.entries({
    retry: options.retry,
    reconnect: options.reconnect,
    resume: options.resume,
  })) {
    if (given !== undefined && typeof given !== 'boolean')
      throw badArgument(`${name} is true or false, not ${JSON.stringify(given)}`)
  }
  const { signal, clock } = options
  if (signal !== undefined) requireSignal(signal)
  if (clock !== undefined) requireMethods('a clock', clock, ['now', 'after'])
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
    budgets: options.budgets === undefined ? processBudgets() : requireBudgets(options.budgets),
    clock: clock ?? systemClock,
    authenticator: options.token === undefined ? undefined : tokenAuthenticator(options.token),
    token: options.token === undefined ? new Uint8Array(0) : Buffer.from(options.token),
  }
}
