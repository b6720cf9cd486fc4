/**
 * Power between a machine and its host: an end asks, and the other end decides and acts. The host
 * serves it to let a guest ask for its own end, the guest serves it to be asked for an orderly one:
 * the same plugin, both directions.
 */
import { defineProtocol, TrunkError, type Protocol, type Trunk } from 'trunkline'

export type Action = 'shutdown' | 'reboot'

export interface PowerOptions {
  /** What the peer may ask for. Everything else is refused. */
  allow: readonly Action[]
  /**
   * Begins it and returns: on a host `() => vm.kill()`, in a guest
   * `() => spawn('systemctl', ['poweroff'])`. What it throws is the asker's error.
   */
  perform: (action: Action, signal: AbortSignal) => void | Promise<void>
}

export function power({ allow, perform }: PowerOptions): Protocol {
  return defineProtocol({
    name: 'power',
    parse(params): Action {
      const { action } = (params ?? {}) as { action?: unknown }
      if (action === 'shutdown' || action === 'reboot') return action
      throw new TrunkError('ERR_PARAMS_INVALID', 'action is shutdown or reboot')
    },
    async handle({ params: action, accept, signal }) {
      // thrown before accept, an error refuses the open: the asker gets this code and sentence
      if (!allow.includes(action)) throw new TrunkError('ERR_DENIED', `${action} is not allowed here`)
      const pipe = accept({ action })
      // the asker ends its side when it has our answer: from then on this machine may go at any
      // moment
      for await (const _ of pipe.source) throw new TrunkError('ERR_MESSAGE_INVALID', 'nothing but the end was expected')
      await perform(action, signal)
    },
  })
}

/**
 * Asks the peer to shut down or reboot. Resolves when it has begun: either the peer says so, or it
 * is gone. Rejects where it refuses (ERR_DENIED) or fails.
 */
export async function askForPower(trunk: Trunk, action: Action): Promise<void> {
  const pipe = await trunk.open('power', { action })
  try {
    await pipe.close()
  } catch (error) {
    // scope says what ended: this pipe, and so the request; or the whole line, and that is what we
    // asked for
    if (!(error instanceof TrunkError) || error.scope === 'pipe') throw error
  }
}
