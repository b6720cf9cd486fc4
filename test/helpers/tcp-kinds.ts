/** The two ways in which the TCP protocols reach the network, for tests that hold for both. */
import { connectionSet } from '../../protocols/internal/connection-set.ts'
import { nativeAttempts } from '../../protocols/tcp-connection/attempt-native.ts'
import { netAttempts } from '../../protocols/tcp-connection/attempt-net.ts'
import type { Attempts } from '../../protocols/tcp-connection/attempt.ts'

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
