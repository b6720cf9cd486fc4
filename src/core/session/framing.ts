/**
 * How two strangers come to a session over one kind of line, and how frames lie on it. There are
 * two: the plain line, which tells when the peer comes and goes and loses nothing
 * (plain-framing.ts), and the checked one, which does not (checked-framing.ts). The attachment
 * speaks to either.
 */
import type { FrameHandler } from '../frame/decoder.ts'
import type { Batch } from '../frame/batch.ts'
import type { Hello } from './hello.ts'

/** What a framing calls: the attachment. */
export interface FramingHost extends FrameHandler {
  /** There may be something to pull. */
  wake(): void
  /** The peer has proved what it has to prove and gets our READY next; throws what refuses it. */
  admit(): void
  /** Both have answered: frames may go. Called once, with the hellos that were answered. */
  established(peer: Hello, own: Hello): void
  /** Largest payload of a frame of this type that is accepted. */
  maxPayload(type: number): number
  /** Asks the peer for a sign of life. */
  askForLife(): void
}

export interface Framing {
  /** What frames are written into. */
  readonly batch: Batch & { reset(): void; finish(): readonly Uint8Array[] }
  /** True inside a frame: an end of the link here cuts it. */
  readonly midFrame: boolean
  /**
   * What has come instead of a session, as the end of a sentence; empty where that says nothing.
   */
  readonly seen: string
  /** Takes bytes of the link; throws what ends the session. */
  receive(chunk: Uint8Array, now: number): void
  /** A HELLO or READY that came as an ordinary frame. */
  handshakeFrame(type: number, payload: Uint8Array): void
  /** Adds what is to be said before the session is established. */
  pull(now: number): void
  /** Makes ready to say BYE before the session is established; false where nobody could read it. */
  beforeFarewell(now: number): boolean
  /** When `tick` wants to be called; Infinity for never. */
  deadline(): number
  /** Does what is due; throws what ends the session. */
  tick(now: number): void
}
