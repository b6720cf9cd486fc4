/**
 * Where this system's connections come from: the native addon where there is one, else Node's
 * server.
 */
import { connectionSet } from '../tcp/connection-set.ts'
import { nativeSource } from './acceptor-native.ts'
import { netSource } from './acceptor-net.ts'
import type { OpenSource } from './acceptor.ts'

/** Looked for when it is first asked for. */
export function systemSource(): OpenSource {
  const set = connectionSet()
  if (set === undefined) return netSource
  const native = nativeSource(set)
  // the addon knows no zones (`fe80::1%eth0`), which only a command line may name
  return (at, backlog, onReady) => (at.address.includes('%') ? netSource : native)(at, backlog, onReady)
}
