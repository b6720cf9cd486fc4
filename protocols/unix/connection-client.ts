/** The asking side of `unix-connection`. */
import type { OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import { requireAddress, type UnixPath } from './address.ts'
import { CONNECTION, encodeConnect } from './messages.ts'

/** Where the peer is to connect. */
export interface UnixTarget {
  /** An absolute path at the peer, or `@NAME` in its abstract namespace. */
  readonly path: UnixPath
}

/**
 * Options of {@link unixConnect}: its signal gives the attempt up, and resets the pipe later.
 * `answerTimeoutMs` is 60,000 unless it is given.
 */
export type UnixConnectOptions = Pick<OpenOptions, 'signal' | 'answerTimeoutMs'>

/** How long the peer may take: six times what it has by default. */
const ANSWER_TIMEOUT_MS = 60_000

/**
 * Has the peer connect to a unix socket and gives the pipe that carries the connection, once that
 * is established. Ending the pipe's writing ends the connection's, and the reverse.
 *
 * Rejects with ERR_BAD_ARGUMENT for a path that can be none, before anything is sent; with the
 * peer's refusal: ERR_CONNECT_REFUSED, ERR_DENIED, ERR_CONNECTION_LIMIT.
 *
 * @example
 * ```ts
 * const pipe = await unixConnect(trunk, { path: '/run/docker.sock' })
 * await pipe.sink([Buffer.from('GET /version HTTP/1.0\r\n\r\n')])
 * console.log(await text(pipe))
 * ```
 */
export async function unixConnect(trunk: Trunk, to: UnixTarget, options: UnixConnectOptions = {}): Promise<Pipe> {
  const address = requireAddress(to.path)
  return await trunk.open(CONNECTION, encodeConnect({ address }), {
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    ...options,
    readBeforeReset: true,
  })
}
