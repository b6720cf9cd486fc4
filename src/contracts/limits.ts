/**
 * Every number that bounds something, with its unit in its name and its reason beside it.
 * docs/reference/limits.md is this table in prose and a test holds the two together.
 * `TrunkOptions.limits` overrides any of them; nonsense is refused at once.
 */
import { badArgument } from './errors.ts'

/**
 * Bounds of one trunk. Where both peers announce a number in the hello, the smaller one is in
 * force.
 */
export interface Limits {
  /** Largest frame payload that is accepted after the hello. */
  maxFrameBytes: number
  /**
   * Largest frame payload before the session is established: a stranger may not make us hold more.
   */
  maxHelloBytes: number
  /**
   * Bytes a peer may send on a new pipe before it is granted more. Each pipe owns these whatever
   * the others do.
   */
  initialWindowBytes: number
  /** How far one pipe's window may grow. */
  maxWindowBytes: number
  /**
   * What the growth of all windows of a session may use: stalled readers exhaust this, never
   * another pipe's own window.
   */
  windowPoolBytes: number
  /**
   * Bytes of data frames under way that the peer has not yet parsed: keeps the queue below the
   * muxer short.
   */
  maxInFlightBytes: number
  /** Pipes that the peer may have open towards us. */
  maxPipes: number
  /** Of those, how many may wait for our handler to accept or refuse. */
  maxWaitingPipes: number
  /**
   * Opens beyond {@link maxPipes} or {@link maxWaitingPipes} after which the peer ignores what we
   * announced.
   */
  maxRefusals: number
  /**
   * Resets in a burst; each further one needs a token. CVE-2023-44487 and CVE-2025-8671 escaped a
   * limit by resetting.
   */
  resetBurst: number
  /** Tokens a second that the reset bucket regains. */
  resetsPerSecond: number
  /** Largest first frame of a pipe (name, version and parameters), and largest reply. */
  maxOpenBytes: number
  /** Time for the hello, from the link's start to the session. */
  helloTimeoutMs: number
  /** A hello on a connectionless link is repeated this often until it is answered. */
  helloRepeatMs: number
  /** A line that was silent for this long is asked for a sign of life. */
  keepaliveMs: number
  /** How long the answer to that may take. */
  keepaliveTimeoutMs: number
  /** A link that takes none of our bytes for this long is lost. */
  writeStallMs: number
  /** How long a graceful close of a trunk waits for its pipes. */
  closeTimeoutMs: number
  /**
   * A pipe whose handler has ended and whose peer does not answer the stop is reset after this
   * long.
   */
  orphanTimeoutMs: number
  /** Sessions that one server holds at a time. */
  maxSessions: number
  /** Links beside them that are in their hello: what is not proved yet takes no session's place. */
  maxHandshakes: number
  /** Dialling the peer, by a transport. */
  connectTimeoutMs: number
  /**
   * First wait before connecting or opening a device again; it doubles with each attempt, ±20 %.
   */
  reconnectMinMs: number
  /** Longest such wait. */
  reconnectMaxMs: number
  /**
   * How long a session with `resume` is kept without a link; the smaller one of both sides is in
   * force.
   */
  resumeMs: number
  /**
   * Sessions without a link that one server keeps: beyond it the oldest of whoever has most is
   * given up.
   */
  maxKeptSessions: number
}

/** What holds unless `TrunkOptions.limits` says otherwise. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  maxFrameBytes: 256 * 1024,
  maxHelloBytes: 4 * 1024,
  initialWindowBytes: 64 * 1024,
  maxWindowBytes: 16 * 1024 * 1024,
  windowPoolBytes: 64 * 1024 * 1024,
  maxInFlightBytes: 1024 * 1024,
  maxPipes: 1024,
  maxWaitingPipes: 64,
  maxRefusals: 100,
  resetBurst: 1000,
  resetsPerSecond: 33,
  maxOpenBytes: 4 * 1024,
  helloTimeoutMs: 10_000,
  helloRepeatMs: 1_000,
  keepaliveMs: 15_000,
  keepaliveTimeoutMs: 10_000,
  writeStallMs: 10_000,
  closeTimeoutMs: 5_000,
  orphanTimeoutMs: 60_000,
  maxSessions: 256,
  maxHandshakes: 1024,
  connectTimeoutMs: 10_000,
  reconnectMinMs: 100,
  reconnectMaxMs: 5_000,
  resumeMs: 60_000,
  maxKeptSessions: 64,
}

/**
 * What holds instead on a connectionless link: there a dead peer is found by its silence alone, so
 * it is asked sooner.
 */
export const CHECKED_FRAMING_DEFAULTS: Readonly<Partial<Limits>> = { keepaliveMs: 5_000 }

/** Longest time that a timer of Node keeps; above it `setTimeout` fires after 1 ms. */
const MAX_MS = 2 ** 31 - 1
/** Largest number that is exact on the wire and in JavaScript with room to add. */
const MAX_BYTES = 2 ** 31 - 1

/** What each limit may be set to, smallest and largest. */
export const LIMIT_BOUNDS: Readonly<Record<keyof Limits, readonly [min: number, max: number]>> = {
  maxFrameBytes: [64, 2 ** 24 - 1],
  maxHelloBytes: [1024, 65_535],
  initialWindowBytes: [1, MAX_BYTES],
  maxWindowBytes: [1, MAX_BYTES],
  windowPoolBytes: [0, MAX_BYTES],
  maxInFlightBytes: [1024, MAX_BYTES],
  maxPipes: [1, 100_000],
  maxWaitingPipes: [1, 100_000],
  maxRefusals: [1, 1_000_000],
  resetBurst: [1, 1_000_000],
  resetsPerSecond: [1, 1_000_000],
  maxOpenBytes: [64, 65_535],
  helloTimeoutMs: [1, MAX_MS],
  helloRepeatMs: [10, MAX_MS],
  keepaliveMs: [1, MAX_MS],
  keepaliveTimeoutMs: [1, MAX_MS],
  writeStallMs: [1, MAX_MS],
  closeTimeoutMs: [1, MAX_MS],
  orphanTimeoutMs: [1, MAX_MS],
  maxSessions: [1, 100_000],
  maxHandshakes: [1, 100_000],
  connectTimeoutMs: [1, MAX_MS],
  reconnectMinMs: [1, MAX_MS],
  reconnectMaxMs: [1, MAX_MS],
  resumeMs: [1, 86_400_000],
  maxKeptSessions: [0, 100_000],
}

/** A whole number within bounds, or ERR_BAD_ARGUMENT that names the value. */
export function requireInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw badArgument(`${name} must be a whole number from ${min} to ${max}, not ${String(value)}`)
  }
  return value
}

/** The defaults with `overrides` laid over them, each checked. */
export function resolveLimits(overrides: Partial<Limits> = {}): Readonly<Limits> {
  const limits: Limits = { ...DEFAULT_LIMITS }
  for (const [name, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(LIMIT_BOUNDS, name)) throw badArgument(`limits has no ${name}`)
    const key = name as keyof Limits
    const [min, max] = LIMIT_BOUNDS[key]
    // undefined is what a caller without strict types gives for 'not set'
    if ((value as unknown) !== undefined) limits[key] = requireInteger(`limits.${name}`, value, min, max)
  }
  if (limits.maxWindowBytes < limits.initialWindowBytes) {
    if (overrides.maxWindowBytes !== undefined && overrides.initialWindowBytes !== undefined) {
      throw badArgument(
        `limits.maxWindowBytes must be at least limits.initialWindowBytes (${limits.initialWindowBytes}), not ${limits.maxWindowBytes}`,
      )
    }
    if (overrides.maxWindowBytes === undefined) limits.maxWindowBytes = limits.initialWindowBytes
    else limits.initialWindowBytes = limits.maxWindowBytes
  }
  return limits
}
