/**
 * A peer that a test plays: it refuses dials, lets them hang or answers them, and cuts lines, as it
 * is told. One process, a memory line each.
 */
import { overLink, TrunkError, type Link, type Transport, type Trunk, type TrunkOptions } from '../../src/index.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { memoryPair } from '../../transports/memory.ts'

/** See {@link scriptedPeer}. */
export interface ScriptedPeer {
  readonly transport: Transport
  /**
   * What a dial meets: a session, at once or when the promise resolves; a rejection; nothing until
   * it is aborted. @default 'answer'
   */
  meets: 'answer' | 'hang' | TrunkError | Promise<void>
  /** Dials so far. */
  readonly attempts: number
  /** Most dials that were under way at the same time. */
  readonly mostAtOnce: number
  /** The peer's ends of the sessions that stood. */
  readonly trunks: readonly Trunk[]
  /** Cuts the line of the present session. */
  cut(): void
}

/** A peer whose trunks have `options`. */
export function scriptedPeer(options: TrunkOptions = {}): ScriptedPeer {
  let underWay = 0
  let line: Link | undefined
  const trunks: Trunk[] = []
  const peer = {
    meets: 'answer' as ScriptedPeer['meets'],
    attempts: 0,
    mostAtOnce: 0,
    trunks,
    cut() {
      line?.abort(new Error('cut'))
    },
    transport: {
      scheme: 'scripted',
      address: 'scripted:',
      traits: { lossless: true, connected: true, preferredFrameBytes: 65_536 },
      async connect({ signal }) {
        peer.attempts++
        peer.mostAtOnce = Math.max(peer.mostAtOnce, ++underWay)
        try {
          if (peer.meets === 'hang')
            await new Promise((_, reject) => onAbort(signal, () => reject(signal.reason as Error)))
          if (peer.meets instanceof TrunkError) throw peer.meets
          if (peer.meets instanceof Promise) await peer.meets
          const [near, far] = memoryPair()
          line = far
          void overLink(far, options).then(
            (trunk) => trunks.push(trunk),
            () => undefined, // the near side has given up; it is the one that is looked at
          )
          return near
        } finally {
          underWay--
        }
      },
      listen: () => Promise.reject(new TrunkError('ERR_UNSUPPORTED', 'it only dials')),
    } satisfies Transport,
  }
  return peer
}
