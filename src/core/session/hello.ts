/**
 * The hello: who a peer is and what it accepts (docs/reference/wire-format.md, "Hello"). Encode,
 * decode, and what two of them amount to. Unknown fields are ignored; of each limit the smaller one
 * is in force.
 */
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { TrunkError } from '../../contracts/errors.ts'
import { WIRE_VERSION } from '../frame/constants.ts'
import { onFirstUse } from '../../runtime/first-use.ts'
import type { Limits } from '../../contracts/limits.ts'
import type { MuxSettings } from '../mux/settings.ts'

/** Bytes of an epoch: 64 random bits tell two runs of one peer apart. */
export const EPOCH_BYTES = 8
/** Bytes of a token challenge. */
export const CHALLENGE_BYTES = 32
/**
 * What the list of protocol names may take in a hello; a longer list is left out, it only informs.
 */
const MAX_NAMES_BYTES = 2048

/** The feature of sessions that outlive their links. */
export const RESUME_FEATURE = 'resume'

/** Which side of a session a peer is, for the token's proof; `peer` where neither is known. */
export type Role = 'connect' | 'serve' | 'peer'

/** What one peer says of itself. */
export interface Hello {
  readonly versions: readonly [min: number, max: number]
  readonly epoch: Uint8Array
  readonly name: string
  readonly role: Role
  readonly limits: HelloLimits
  readonly protocols: readonly string[]
  readonly features: readonly string[]
  /** Present where a token is required: what the other side's proof has to cover. */
  readonly challenge?: Uint8Array | undefined
  /** Present with the feature `resume`. */
  readonly resume?: HelloResume | undefined
}

/** What a side says of a session that is to outlive its links. */
export interface HelloResume {
  /** Public key, another in each hello. */
  readonly key: Uint8Array
  /** How long it keeps a session without a link. */
  readonly keepMs: number
  /** The connecting side: the session that goes on over this link, and the attempt’s number. */
  readonly session?: Uint8Array | undefined
  readonly attempt?: number | undefined
}

/** What a peer accepts: bytes a frame, bytes of a new window, and so on (names as on the wire). */
export interface HelloLimits {
  readonly frame: number
  readonly window: number
  readonly inFlight: number
  readonly open: number
  readonly pipes: number
  readonly waiting: number
  readonly resetBurst: number
  readonly resetRate: number
}

const count = (max: number): v.GenericSchema<number> => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max))
const bytes = (length: number): v.GenericSchema<Uint8Array> =>
  v.pipe(
    v.instance(Uint8Array),
    v.check((value) => value.byteLength === length),
  )

const ANY_COUNT = count(2 ** 31 - 1)
const VERSION_RANGE = v.strictTuple([count(255), count(255)])
const VERSIONS = v.object({ versions: VERSION_RANGE })
const HELLO = v.object({
  versions: VERSION_RANGE,
  epoch: bytes(EPOCH_BYTES),
  name: v.pipe(v.string(), v.maxLength(64)),
  role: v.picklist(['connect', 'serve', 'peer']),
  limits: v.object({
    frame: v.pipe(count(2 ** 24 - 1), v.minValue(64)),
    window: ANY_COUNT,
    inFlight: v.pipe(ANY_COUNT, v.minValue(1024)),
    open: v.pipe(count(65_535), v.minValue(64)),
    pipes: ANY_COUNT,
    waiting: ANY_COUNT,
    resetBurst: ANY_COUNT,
    resetRate: ANY_COUNT,
  }),
  protocols: v.array(v.string()),
  features: v.array(v.string()),
  challenge: v.optional(bytes(CHALLENGE_BYTES)),
  resume: v.optional(v.unknown()),
})
/** The field `resume`, of a hello with that feature. */
const resumeSchema = onFirstUse(() =>
  v.object({
    key: bytes(32),
    keepMs: ANY_COUNT,
    session: v.optional(bytes(16)),
    attempt: v.optional(ANY_COUNT),
  }),
)

/** What `limits` let us accept, as the hello says it. */
export function helloLimits(limits: Readonly<Limits>): HelloLimits {
  return {
    frame: limits.maxFrameBytes,
    window: limits.initialWindowBytes,
    inFlight: limits.maxInFlightBytes,
    open: limits.maxOpenBytes,
    pipes: limits.maxPipes,
    waiting: limits.maxWaitingPipes,
    resetBurst: limits.resetBurst,
    resetRate: limits.resetsPerSecond,
  }
}

/** The payload of a HELLO frame. */
export function encodeHello(hello: Hello, maxBytes: number): Uint8Array {
  const namesBytes = hello.protocols.reduce((sum, name) => sum + name.length * 3 + 3, 0)
  const protocols = namesBytes > MAX_NAMES_BYTES ? [] : hello.protocols
  return encodeCbor({ ...hello, protocols }, maxBytes, 'the hello')
}

/**
 * Reads a HELLO's payload; throws ERR_VERSION_MISMATCH naming both ranges, or ERR_HELLO_INVALID.
 */
export function decodeHello(payload: Uint8Array): Hello {
  const value = decodeCbor(payload, 'ERR_HELLO_INVALID', 'the hello')
  // the version comes first: a hello of another version may look different in all else
  const versions = v.safeParse(VERSIONS, value)
  if (!versions.success) throw new TrunkError('ERR_HELLO_INVALID', 'the hello names no versions')
  const [min, max] = versions.output.versions
  if (min > WIRE_VERSION || max < WIRE_VERSION) {
    throw new TrunkError(
      'ERR_VERSION_MISMATCH',
      `this side speaks wire version ${WIRE_VERSION}, the peer speaks ${min === max ? min : `${min} to ${max}`}`,
    )
  }
  const hello = v.safeParse(HELLO, value)
  if (!hello.success) {
    const where = v.getDotPath(hello.issues[0]) ?? 'its shape'
    throw new TrunkError('ERR_HELLO_INVALID', `the hello is wrong in ${where}`)
  }
  const { resume, ...rest } = hello.output
  if (!rest.features.includes(RESUME_FEATURE)) return rest
  const told = v.safeParse(resumeSchema(), resume)
  if (!told.success) throw new TrunkError('ERR_HELLO_INVALID', 'the hello is wrong in resume')
  return { ...rest, resume: told.output }
}

/** Compares epochs as big-endian numbers. */
export function compareEpochs(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < EPOCH_BYTES; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** What is in force once both hellos are known. */
export function settle(
  own: Hello,
  peer: Hello,
  limits: Readonly<Limits>,
  preferredFrameBytes: number,
  paced: boolean,
  streamed = false,
): MuxSettings {
  const initialWindowBytes = Math.min(own.limits.window, peer.limits.window)
  const maxFrameBytes = Math.min(own.limits.frame, peer.limits.frame)
  return {
    takesOddIds: compareEpochs(own.epoch, peer.epoch) > 0,
    initialWindowBytes,
    maxWindowBytes: Math.max(initialWindowBytes, limits.maxWindowBytes),
    windowPoolBytes: limits.windowPoolBytes,
    maxInFlightBytes: Math.min(own.limits.inFlight, peer.limits.inFlight),
    paced,
    ...(streamed && { streamed }),
    splitBytes: Math.min(maxFrameBytes, preferredFrameBytes),
    maxFrameBytes,
    maxOpenBytes: Math.min(own.limits.open, peer.limits.open),
    maxInbound: own.limits.pipes,
    maxInboundWaiting: own.limits.waiting,
    maxOutbound: peer.limits.pipes,
    maxOutboundWaiting: peer.limits.waiting,
    maxRefusals: limits.maxRefusals,
    resetBurst: own.limits.resetBurst,
    resetsPerSecond: own.limits.resetRate,
    peerResetBurst: peer.limits.resetBurst,
    peerResetsPerSecond: peer.limits.resetRate,
    orphanTimeoutMs: limits.orphanTimeoutMs,
  }
}

/** Why a side gives up before a session is established; `seen` is what has come instead. */
export function noSession({ helloTimeoutMs }: Readonly<Limits>, seen: string): TrunkError {
  return new TrunkError('ERR_HELLO_TIMEOUT', `no session after ${helloTimeoutMs} ms${seen}`)
}
