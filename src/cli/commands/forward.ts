/**
 * `trunkline forward`: TCP ports across the line, until it is interrupted. All forwards stand at first, or none does; each is announced with its
 * real port once it takes connections. They outlive the session: when it is lost the peer is dialled again.
 */
import type { Command } from 'commander'
import { interrupted } from '../context.ts'
import type { Context } from '../context.ts'
import { asFailure, usageError } from '../failure.ts'
import { connectionLog } from '../forward/connection-log.ts'
import type { Forward } from '../forward/forward.ts'
import { EVERYWHERE, parseForward } from '../forward/spec.ts'
import type { ForwardSpec } from '../forward/spec.ts'
import { addPeerOptions, connectPeerForGood } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

interface ForwardOptions extends PeerOptions {
  local?: ForwardSpec[]
  remote?: ForwardSpec[]
}

function appendForward(text: string, previous: ForwardSpec[] | undefined): ForwardSpec[] {
  return [...(previous ?? []), parseForward(text)]
}

/** Adds the command. */
export function addForward(program: Command, context: Context): void {
  const command = program
    .command('forward')
    .summary('forward TCP ports across the line')
    .description('Forward TCP ports across the line until interrupted, over as many sessions as it takes.')
    .option('-L, --local <spec>', '[BIND:]PORT:HOST:PORT, listen here, the peer connects; repeatable', appendForward)
    .option('-R, --remote <spec>', '[BIND:]PORT:HOST:PORT, the peer listens, connect here; repeatable', appendForward)
    .addHelpText('after', '\nPort 0 takes any free port; the real one is printed.')
    .addHelpText('after', 'Without --wait the first session has to come at once; a lost one is replaced in any case.')
    .addHelpText('after', '\nExample:\n  $ trunkline forward -L 8080:127.0.0.1:80 -R 9000:127.0.0.1:3000')
  addPeerOptions(command).action((options: ForwardOptions) => forward(context, options))
}

async function forward(context: Context, options: ForwardOptions): Promise<void> {
  const { local = [], remote = [] } = options
  if (local.length + remote.length === 0) throw usageError('forward what? Give -L or -R')
  // loaded here: every other command starts without them
  const { listenHere } = await import('../forward/listen-here.ts')
  const { listenThere } = await import('../forward/listen-there.ts')
  const { owner, stdout } = context
  const trunk = await connectPeerForGood(context, options, connectionLog(context))
  const close = owner.own(() => trunk.close())
  const owned = (forward: Forward): Forward => {
    owner.own(() => forward.close())
    // Its end is looked at by the race below, but only while that runs.
    forward.ended.catch(() => undefined)
    return forward
  }
  const forwards: Forward[] = []
  for (const spec of local)
    forwards.push(...(await everywhere(spec, async (one) => owned(await listenHere(context, trunk, one)))))
  for (const spec of remote) {
    const listen = async (one: ForwardSpec): Promise<Forward> =>
      owned(await listenThere(context, trunk, one, remote.length))
    forwards.push(...(await everywhere(spec, listen)))
  }
  for (const { description } of forwards) await stdout.line(`forwarding ${description}`)
  await Promise.race([interrupted(context), trunk.closed, ...forwards.map(({ ended }) => ended)])
  for (const each of forwards) each.close()
  await close()
}

/** Has `listen` called once, or, where every address is meant, for both families at the same port; that of IPv6 may be missing. */
async function everywhere(spec: ForwardSpec, listen: (spec: ForwardSpec) => Promise<Forward>): Promise<Forward[]> {
  if (spec.bind !== EVERYWHERE) return [await listen(spec)]
  const first = await listen({ ...spec, bind: '0.0.0.0' })
  try {
    return [first, await listen({ ...spec, bind: '::', port: first.port })]
  } catch (error) {
    if (asFailure(error).code === 'ERR_ADDRESS_UNAVAILABLE') return [first]
    throw error
  }
}
