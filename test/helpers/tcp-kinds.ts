/** The two ways in which the TCP protocols reach the network, for tests that hold for both. */
import { connectionSet } from '../../protocols/tcp/connection-set.ts'
import { nativeAttempts } from '../../protocols/tcp-connection/attempt-native.ts'
import { netAttempts } from '../../protocols/tcp-connection/attempt-net.ts'
import type { Attempts } from '../../protocols/tcp-connection/attempt.ts'
import { connectionsOver, type TcpConnectionOptions } from '../../protocols/tcp-connection/server.ts'
import type { Trunk } from '../../src/index.ts'
import { trunkPair } from './trunk-pair.ts'

const set = connectionSet()

/** One of the ways. */
interface TcpKind {
  readonly kind: 'native' | 'net'
  readonly attempts: Attempts
  /** Why it is not there. */
  readonly skip: string | false
}

/** Each kind with its way of dialling. */
export const KINDS: readonly TcpKind[] = [
  {
    kind: 'native',
    attempts: set === undefined ? netAttempts : nativeAttempts(set),
    skip: set === undefined ? 'the native addon is not built' : false,
  },
  { kind: 'net', attempts: netAttempts, skip: false },
]

/** A trunk whose other side serves `tcp-connection`; `open` is what the test closes at its end. */
export async function trunkTo(
  options: TcpConnectionOptions,
  attempts: Attempts,
  open: { close(): void }[],
): Promise<Trunk> {
  const [near] = await trunkPair({}, { protocols: [connectionsOver(options, attempts)] })
  open.push({
    close: () => {
      near.abort(new Error('the test is over'))
    },
  })
  return near
}
