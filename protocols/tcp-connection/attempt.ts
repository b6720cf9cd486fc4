/** One attempt to connect to one literal address: what dial.ts makes of several. */
import type { Connection } from '../tcp/connection.ts'

/**
 * What an attempt tells: one of the two, once, and not before it was made; nothing after `drop`.
 */
export interface AttemptOutcome {
  /** The connection is the receiver's. No-delay and keep-alive are set. */
  connected(connection: Connection): void
  /** With the system's error. Nothing is left of the attempt. */
  failed(error: unknown): void
}

/** An attempt that is under way. */
export interface Attempt {
  /**
   * Gives it up. Where the kernel has connected it already, its other end sees a reset and never a
   * clean end of a connection on which nothing was said.
   */
  drop(): void
}

/** Makes an attempt. */
export type Attempts = (address: string, port: number, outcome: AttemptOutcome) => Attempt

/**
 * When the kernel first asks an idle connection for a sign of life: a host that vanished must not
 * hold its place for ever.
 */
export const KEEPALIVE_MS = 60_000
