/**
 * Forwards without a target, `-D` and `-R`, and `serve --proxy`: each connection's client says
 * where it wants to go. What their options mean, and what is refused before anything is bound.
 */
import { proxyConnections, type HandshakeOptions } from '../../../protocols/proxy/index.ts'
import { tcpConnection } from '../../../protocols/tcp-connection.ts'
import { tcpListen } from '../../../protocols/tcp-listener.ts'
import type { Pipe, Trunk, TrunkError } from '../../index.ts'
import { formatHostPort } from '../../runtime/host-port.ts'
import { sayError } from '../context.ts'
import type { Context } from '../context.ts'
import { about, usageError } from '../failure.ts'
import { lineRation } from '../refusal-log.ts'
import { readSecret } from '../token-file.ts'
import { EVERYWHERE, isLoopback } from './spec.ts'
import type { ListenSpec, ProxyFlags } from './spec.ts'

/**
 * The user and the password that clients have to give, where there is a file of them. Wrong usage
 * where it holds none.
 */
export async function handshakeOf(context: Context, { http, proxyAuthFile }: ProxyFlags): Promise<HandshakeOptions> {
  const options = { http: http === true }
  if (proxyAuthFile === undefined) return options
  const login = Buffer.from(await readSecret(context, proxyAuthFile)).toString('latin1')
  // what SOCKS can say: 255 bytes of each
  if (!/^[^:]{1,255}:[^]{1,255}$/.test(login))
    throw usageError('--proxy-auth-file holds USER:PASSWORD, 255 bytes of each')
  return { ...options, login }
}

/**
 * A proxy that others than this machine's programs reach must be asked for by name, or have a
 * password.
 */
export function requireSafeBind({ bind }: ListenSpec, { proxyAuthFile, insecureBind }: ProxyFlags): void {
  if (isLoopback(bind) || proxyAuthFile !== undefined || insecureBind === true) return
  throw usageError(`a proxy at ${String(bind)} serves whoever reaches it: give --proxy-auth-file, or --insecure-bind`)
}

/**
 * `serve --proxy`: has a peer that offers to listen do so at `at`, and is the proxy of whoever
 * connects there. A peer without the protocol is left alone: it is a command that has other
 * business. Never rejects: what goes wrong is a line.
 */
export async function proxyForSession(
  context: Context,
  trunk: Trunk,
  at: ListenSpec,
  serving: SessionProxy,
): Promise<void> {
  const { peer } = trunk.status()
  if (!peer.protocols.includes('tcp-listener')) return
  const { port } = at
  // one family is enough for a guest's own network
  const bind = at.bind === EVERYWHERE ? '0.0.0.0' : at.bind
  const where = formatHostPort(bind ?? '127.0.0.1', port)
  try {
    const listening = await tcpListen(trunk, bind === undefined ? { port } : { host: bind, port })
    await serving.take(trunk, listening)
  } catch (error) {
    if (!context.signal.aborted && trunk.status().state === 'open' && serving.mayPrint())
      sayError(context, error, `proxy at ${where} of ${peer.name}`)
  }
}

/** What the proxies of all sessions share. */
export interface SessionProxy {
  readonly take: (trunk: Trunk, connections: AsyncIterable<Pipe>) => Promise<void>
  readonly mayPrint: () => boolean
}

/** {@link SessionProxy} by the options. Wrong usage for a bad rule. */
export function sessionProxy(context: Context, allow: readonly string[], handshake: HandshakeOptions): SessionProxy {
  const mayPrint = lineRation(context)
  // thrown here and not at the first session
  requireRules(allow)
  const options = {
    ...handshake,
    allow,
    clock: context.clock,
    onRefused: (error: TrunkError) => {
      if (mayPrint()) sayError(context, error, 'proxy')
    },
  }
  return { mayPrint, take: (trunk, connections) => proxyConnections(connections, { ...options, trunk }) }
}

/** Wrong usage for a bad rule of a proxy, before anybody is dialled. */
export function requireRules(allow: readonly string[]): void {
  try {
    // its rules are the same
    tcpConnection({ allow })
  } catch (error) {
    throw about('--allow', error)
  }
}
