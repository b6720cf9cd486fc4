/**
 * A line within this process that a test cuts, and whose next dials it answers, refuses or lets
 * hang. `serve` and `connect` take its transport.
 */
import { TrunkError, type Link, type Transport } from '../../src/index.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { ignore } from '../../src/session/pipe/rejected.ts'
import { LinkListener } from '../../transports/internal/link-listener.ts'
import { memoryPair } from '../../transports/memory.ts'

/** See {@link cutLine}. */
export interface CutLine {
  readonly transport: Transport
  /** What a dial meets. @default 'answer' */
  meets: 'answer' | 'hang' | 'refusal'
  /** Called with each line that a dial has got, before a byte has passed. */
  onLine: (() => void) | undefined
  /** Dials so far. */
  readonly attempts: number
  /** Cuts every line there is, at both ends. */
  cut(): void
}

/** A line on which nobody listens yet. */
export function cutLine(): CutLine {
  let listener: LinkListener | undefined
  const ends: Link[] = []
  const refused = (): TrunkError => new TrunkError('ERR_CONNECT_REFUSED', 'refused', { scope: 'link' })
  const line = {
    meets: 'answer' as CutLine['meets'],
    onLine: undefined as CutLine['onLine'],
    attempts: 0,
    cut() {
      for (const end of ends.splice(0)) end.abort(new TrunkError('ERR_LINK_RESET', 'cut'))
    },
    transport: {
      scheme: 'cut',
      address: 'cut:',
      traits: { lossless: true, connected: true, preferredFrameBytes: 65_536 },
      async connect({ signal, clock }) {
        line.attempts++
        if (line.meets === 'hang')
          await new Promise((_, reject) => onAbort(signal, () => reject(signal.reason as Error)))
        if (line.meets === 'refusal' || listener === undefined) throw refused()
        const [near, middle] = memoryPair({ clock })
        const [between, far] = memoryPair({ clock })
        ends.push(middle, between)
        // what a cut does to the two ways is what is wanted of it
        void middle.sink(between.source).catch(ignore)
        void between.sink(middle.source).catch(ignore)
        listener.push(far)
        line.onLine?.()
        return near
      },
      listen: () => {
        const listening = new LinkListener('cut:', () => {
          if (listener === listening) listener = undefined
        })
        listener = listening
        return Promise.resolve(listening)
      },
    } satisfies Transport,
  }
  return line
}
