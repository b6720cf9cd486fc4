/** How this system dials: by the native addon where there is one, else by Node. */
import { connectionSet } from '../tcp/connection-set.ts'
import { nativeAttempts } from './attempt-native.ts'
import { netAttempts } from './attempt-net.ts'
import type { Attempts } from './attempt.ts'

let known: Attempts | undefined

/** Looked for when it is first asked for. */
export function systemAttempts(): Attempts {
  return (known ??= look())
}

function look(): Attempts {
  const set = connectionSet()
  if (set === undefined) return netAttempts
  const native = nativeAttempts(set)
  // the addon knows no zones (`fe80::1%eth0`), which only a command line may name
  return (address, port, outcome) => (address.includes('%') ? netAttempts : native)(address, port, outcome)
}
