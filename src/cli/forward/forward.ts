/** What a forward is, whichever side listens, and what its two directions share: bounds, and lines about what failed. */
import { join } from '../../../protocols/tcp/bridge.ts'
import type { Connection } from '../../../protocols/tcp/connection.ts'
import type { Pipe } from '../../index.ts'
import { sayError } from '../context.ts'
import type { Context } from '../context.ts'

/** A forward that listens. */
export interface Forward {
  /** `127.0.0.1:8080 -> HOST:PORT`, with the real port. */
  readonly description: string
  /** Where it listens, the real one. */
  readonly port: number
  /** Takes no further connections; those that stand go on. Frees the port. */
  close(): void
  /** Rejects when it can no longer take connections; never resolves before `close`. */
  readonly ended: Promise<void>
}

/** Connections that one forward serves at a time: as many as the other side's protocol allows by default. */
export const MAX_CONNECTIONS = 256

/** Joins the two until both directions have ended and the peer has given its place back. A connection that breaks is its two ends' affair, not an error of ours. */
export async function carry(pipe: Pipe, connection: Connection): Promise<void> {
  // It rejects where one end was reset; it has reset the other one by then, and that is what it should look like.
  await join(pipe, connection)
    .over.then(() => pipe.close())
    .catch(() => undefined)
}

/** Says why a connection through `description` did not come about; not when the user has ended us. */
export function sayConnectionError(context: Context, description: string, error: unknown): void {
  if (!context.signal.aborted) sayError(context, error, description)
}
