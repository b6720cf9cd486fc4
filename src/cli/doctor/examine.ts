/**
 * The examination of one address, from what can be seen without touching the line to what the peer
 * says; it ends early where nothing further can work. Bounded by {@link LIMIT_MS} in all. What is
 * no address, or of no known scheme, throws as it does for every other command.
 */
import { TrunkError, type Transport } from '../../index.ts'
import { SCHEMES } from '../../api/schemes.ts'
import { schemeOf } from '../../api/scheme.ts'
import { asError, type Context } from '../context.ts'
import { adviceFor } from './advice.ts'
import { examineDevice } from './device.ts'
import { note, problem, type Finding, type Findings } from './findings.ts'
import { thisMachine, type Machine } from './machine.ts'
import { examinePeer } from './peer.ts'
import { examineSocket } from './socket.ts'
import { targetOf, type Target } from './target.ts'
import { examineName } from './tcp.ts'
import { examineVsock } from './vsock.ts'

const LIMIT_MS = 15_000

/** What is found about `address`, in the order of looking. */
export async function* examine(
  context: Context,
  address: string,
  token: Uint8Array | undefined,
  machine: Machine = thisMachine(),
): AsyncGenerator<Finding, void, undefined> {
  const transport = await transportOf(address)
  const target = targetOf(transport.address)
  const limit = new AbortController()
  const timer = context.clock.after(LIMIT_MS, () => {
    limit.abort(new TrunkError('ERR_ABORTED', 'it took too long'))
  })
  const signal = AbortSignal.any([context.signal, limit.signal])
  try {
    if (!(yield* examinePlace(context, machine, target))) return
    if (context.signal.aborted) throw asError(context.signal.reason)
    yield* examinePeer(context, { transport, target, token, signal })
  } catch (error) {
    if (context.signal.aborted) throw asError(context.signal.reason)
    if (limit.signal.aborted)
      yield problem('time', `there was no end after ${LIMIT_MS / 1000} s: the line stands still`)
    else if (error instanceof TrunkError && error.code === 'ERR_TRANSPORT_UNAVAILABLE') {
      yield problem('transport', error.message, ...adviceFor(error.code, address, target))
    } else if (error instanceof TrunkError && error.scope === 'session') {
      yield problem('peer', `${error.message} (${error.code})`, ...adviceFor(error.code, address, target))
    } else throw error
  } finally {
    timer.cancel()
  }
}

async function transportOf(address: string): Promise<Transport> {
  const scheme = schemeOf(address)
  const load = SCHEMES[scheme]
  if (load !== undefined) return (await load())(address)
  const known = Object.keys(SCHEMES).join(', ')
  throw new TrunkError(
    'ERR_TRANSPORT_UNKNOWN',
    `there is no transport for ${JSON.stringify(scheme)}; there are ${known}`,
  )
}

/** What can be seen before the line is opened. */
async function* examinePlace(context: Context, machine: Machine, target: Target): Findings {
  switch (target.type) {
    case 'device':
      return yield* examineDevice(machine, target, context.clock)
    case 'socket':
      if (target.listens) {
        yield note('socket', 'we listen at this address, so the other end has to connect while the doctor waits')
        return true
      }
      return yield* examineSocket(machine, target.path, target.kind)
    case 'vsock':
      return yield* examineVsock(machine, target.cid)
    case 'tcp':
      return yield* examineName(context, target.host)
    case 'other':
      return true
  }
}
