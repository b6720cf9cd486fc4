/**
 * `trunkline forward`: TCP ports across the line, until it is interrupted. All forwards stand at
 * first, or none does; each is announced with its real port once it takes connections. They outlive
 * the session: when it is lost the peer is dialled again.
 */
import type { Command } from 'commander'
import type {
  Forward,
  ForwardFailure,
  HandshakeOptions,
  TcpBind,
  TcpTarget,
  UnixBind,
  UnixTarget,
} from '../../../protocols/forward/index.ts'
import { asError, interrupted, sayError } from '../context.ts'
import type { Context } from '../context.ts'
import { asFailure, usageError } from '../failure.ts'
import { connectionLog } from '../forward/connection-log.ts'
import { listenersBy } from '../forward/rules.ts'
import { EVERYWHERE, parseForward, parseProxy, requireNoFlags } from '../forward/spec.ts'
import type { ForwardSpec, ListenSpec, ProxyFlags } from '../forward/spec.ts'
import { forwardsOf, parseRemote } from '../forward/words.ts'
import type { Forwards } from '../forward/words.ts'
import { addPeerArgument, addPeerOptions, connectPeerForGood, resolvePeer, withPeer } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { repeated } from '../repeated.ts'
import { lineRation } from '../refusal-log.ts'
import { onAbort } from '../../runtime/on-abort.ts'

/** Connections that one forward from the peer asks for ahead. */
const MAX_ACCEPTS = 8
/**
 * And all of them together: half of the opens that may wait (`maxWaitingPipes`), the others being
 * for whatever else is opened.
 */
const ALL_ACCEPTS = 32

interface ForwardOptions extends PeerOptions, ProxyFlags, Forwards {}

/** Adds the command. */
export function addForward(program: Command, context: Context): void {
  const command = program
    .command('forward')
    .summary('forward TCP ports across the line')
    .description('Forward TCP ports across the line until interrupted, over as many sessions as it takes.')
    .option('-L, --local <spec>', '[BIND:]PORT:HOST:PORT, listen here, the peer connects', repeated(parseForward))
    .option('-R, --remote <spec>', '[BIND:]PORT:HOST:PORT, the peer listens, connect here', repeated(parseRemote))
    .option('-D, --dynamic <spec>', '[BIND:]PORT, a proxy here, the peer connects', repeated(parseProxy))
    .option('--allow <host:port>', 'what -R [BIND:]PORT, a proxy at the peer, connects to', repeated(String))
    .option('--listen <host:port>', 'let the peer listen here, as for its serve --proxy', repeated(String))
    .option('--http', 'proxies take http://… requests, too, besides SOCKS and CONNECT')
    .option('--proxy-auth-file <file>', 'proxies ask for the USER:PASSWORD in this file')
    .option('--insecure-bind', 'a proxy may listen beyond loopback without that')
    .addHelpText('after', '\nAll but the last three can be repeated. Port 0 takes any free port, and it is printed.')
    .addHelpText('after', 'Without --wait the first session has to come at once; a lost one is replaced in any case.')
    .addHelpText('after', '\nExample:\n  $ trunkline forward -L 8080:127.0.0.1:80 -R 1080 --allow example.com:443')
  addPeerOptions(addPeerArgument(command)).action((peer: string | undefined, options: ForwardOptions) =>
    forward(context, withPeer(options, peer)),
  )
}

async function forward(context: Context, given: ForwardOptions): Promise<void> {
  const options = await withConfigured(context, given)
  const { local = [], remote = [], dynamic = [], allow = [], listen = [] } = options
  if (isNothing(options)) throw usageError('forward what? Give -L, -R, -D or --listen')
  const proxies = remote.filter((spec) => !('host' in spec))
  if (proxies.length > 0 && allow.length === 0)
    throw usageError('-R without a target is a proxy for the peer: say by --allow what it may connect to')
  if (proxies.length === 0 && allow.length > 0) throw usageError('--allow is for a -R without a target')
  if (proxies.length + dynamic.length === 0) requireNoFlags(options, 'a proxy: -D, or a -R without a target')
  // loaded here: every other command starts without them
  const { forwardLocal, forwardRemote, proxyLocal, proxyRemote } = await import('../../../protocols/forward/index.ts')
  const handshake = await handshakeOfProxies(context, options, [...proxies, ...dynamic])
  const { owner, stdout } = context
  const trunk = await connectPeerForGood(context, options, connectionLog(context), await listenersBy(listen))
  const close = owner.own(() => trunk.close())
  // what is everywhere listens once for each family
  const listeners = remote.reduce((sum, { bind }) => sum + (bind === EVERYWHERE ? 2 : 1), 0)
  const accepts = Math.max(1, Math.min(MAX_ACCEPTS, Math.floor(ALL_ACCEPTS / listeners)))
  const [toTarget, ofProxies] = [failureLog(context), failureLog(context, lineRation(context))]
  const begin = async (spec: ListenSpec, make: (start: Start) => Promise<Forward>): Promise<Forward[]> =>
    await everywhere(spec, async (one) => {
      const forward = await untilInterrupted(context, (signal) => make({ listen: bindOf(one), signal }))
      owner.own(() => forward.close())
      return forward
    })
  const forwards: Forward[] = []
  for (const spec of local)
    forwards.push(...(await begin(spec, (start) => forwardLocal(trunk, { ...start, ...toTarget, to: targetOf(spec) }))))
  for (const spec of dynamic)
    forwards.push(...(await begin(spec, (start) => proxyLocal(trunk, { ...start, ...ofProxies, ...handshake }))))
  for (const spec of remote)
    forwards.push(
      ...(await begin(spec, (start) =>
        'host' in spec
          ? forwardRemote(trunk, { ...start, ...toTarget, accepts, to: targetOf(spec) })
          : proxyRemote(trunk, { ...start, ...ofProxies, ...handshake, accepts, allow }),
      )),
    )
  for (const { description } of forwards) await stdout.line(`forwarding ${description}`)
  await Promise.race([interrupted(context), trunk.closed, ...forwards.map(({ closed }) => closed)])
  await Promise.all(forwards.map((each) => each.close()))
  await close()
}

function isNothing({ local = [], remote = [], dynamic = [], listen = [] }: Forwards): boolean {
  return local.length + remote.length + dynamic.length + listen.length === 0
}

/**
 * Where the command line says nothing of what to forward, what the configuration says of the peer.
 */
async function withConfigured(context: Context, options: ForwardOptions): Promise<ForwardOptions> {
  if (!isNothing(options) || options.allow !== undefined) return options
  const { forward: texts = [] } = await resolvePeer(context, options)
  return { ...options, ...forwardsOf(texts) }
}

/**
 * What a proxy asks of its clients. Rejects where one may not listen at its address, or a rule is
 * bad.
 */
async function handshakeOfProxies(
  context: Context,
  options: ForwardOptions,
  specs: readonly ListenSpec[],
): Promise<HandshakeOptions> {
  if (specs.length === 0) return {}
  const { handshakeOf, requireRules, requireSafeBind } = await import('../forward/proxy.ts')
  for (const spec of specs) requireSafeBind(spec, options)
  const handshake = await handshakeOf(context, options)
  requireRules(options.allow ?? [])
  return handshake
}

/** What every forward is started with. */
interface Start {
  readonly listen: TcpBind | UnixBind
  readonly signal: AbortSignal
}

function bindOf({ bind, port, path }: ListenSpec): Start['listen'] {
  if (path !== undefined) return { path }
  return bind === undefined ? { port } : { host: bind, port }
}

function targetOf({ host, hostPort, toPath }: ForwardSpec): TcpTarget | UnixTarget {
  return toPath === undefined ? { host, port: hostPort } : { path: toPath }
}

/**
 * Starts something; an interrupt gives the attempt up. Later it ends by its `close`, which leaves
 * the connections that are carried alone.
 */
async function untilInterrupted<T>({ signal }: Context, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const attempt = new AbortController()
  const unsubscribe = onAbort(signal, () => attempt.abort(asError(signal.reason)))
  try {
    return await start(attempt.signal)
  } finally {
    unsubscribe()
  }
}

/** A line for each failure, but for those that the user's interrupt makes. */
function failureLog(
  context: Context,
  mayPrint: () => boolean = () => true,
): { readonly onFailure: (failure: ForwardFailure) => void; readonly clock: Context['clock'] } {
  return {
    clock: context.clock,
    onFailure({ forward, error }) {
      if (!context.signal.aborted && mayPrint()) sayError(context, error, forward)
    },
  }
}

/**
 * Has `listen` called once, or, where every address is meant, for both families at the same port;
 * that of IPv6 may be missing.
 */
async function everywhere<T extends ListenSpec>(spec: T, listen: (spec: T) => Promise<Forward>): Promise<Forward[]> {
  if (spec.bind !== EVERYWHERE) return [await listen(spec)]
  const first = await listen({ ...spec, bind: '0.0.0.0' })
  try {
    return [first, await listen({ ...spec, bind: '::', port: first.address.port })]
  } catch (error) {
    if (asFailure(error).code === 'ERR_ADDRESS_UNAVAILABLE') return [first]
    throw error
  }
}
