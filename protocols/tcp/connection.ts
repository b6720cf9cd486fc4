/**
 * A TCP connection as the protocols use it, by plain calls: what the bridge joins to a pipe. There
 * are two: of the native addon (native-connection.ts) and, where that is missing or a user has a
 * socket already, of Node (net-connection.ts).
 */
import type { Uint8ArrayList } from 'uint8arraylist'

/** An address and a port of a bound socket or of a connection's end. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/**
 * What a {@link Connection} calls. Nothing is called before `start` has returned, and nothing after
 * `closed`.
 */
export interface ConnectionReceiver {
  /**
   * Bytes arrived; they are the receiver's until it gives them back with `release` or `abandon`,
   * each chunk once.
   */
  data(chunk: Uint8Array): void
  /** The other side has ended its writing. */
  end(): void
  /** After `write` returned false: the system has everything that was written. */
  drained(): void
  /**
   * The other side takes no more; what is written from now on is dropped. What it had sent before
   * still comes, and then `failed`.
   */
  broken(): void
  /**
   * The connection was cut: by the other side, or the system. Everything that came before was told.
   * The error is the system's, where there is one.
   */
  failed(error: unknown): void
  /**
   * Nothing of the connection is left: both sides have ended, or it has failed, or it was reset
   * here. The last call.
   */
  closed(): void
}

/**
 * It belongs to whoever has it, who starts it or resets it. Half-open: one side's end leaves the
 * other as it is.
 */
export interface Connection {
  readonly local: Endpoint
  readonly remote: Endpoint
  /** Bytes that `write` was given and the system has not taken. */
  readonly unsent: number
  /**
   * Bytes, and an end, that the system has and the other side's has not; undefined where nobody can
   * tell.
   */
  readonly unacknowledged: number | undefined
  /** Until `start`: calls back, once, when nothing can come of the connection any more. */
  onGone(callback: () => void): void
  /** Begins to read. To be called once. */
  start(receiver: ConnectionReceiver): void
  /**
   * No further `data` until `resume`; at most what this turn of the event loop has read already.
   */
  pause(): void
  resume(): void
  /** A chunk that came by `data` is no longer looked at: its memory may be read into again. */
  release(chunk: Uint8Array): void
  /**
   * As `release`, where somebody may still look at it: its memory is not read into again, and the
   * collector's when nobody does.
   */
  abandon(chunk: Uint8Array): void
  /**
   * Hands `chunks` over, in order. True: the system has them, and they are free. False: nothing
   * more may be written before `drained`.
   */
  write(chunks: Uint8ArrayList): boolean
  /** Ends our writing; once, and not between a `write` that returned false and its `drained`. */
  end(): void
  /**
   * Cuts it so that the other side sees a reset, and frees it; what was not sent is dropped.
   * Harmless when repeated, and after it was closed.
   */
  reset(): void
}
