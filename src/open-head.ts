/** What a pipe is opened with, checked; and its first frame, encoded. Both throw ERR_BAD_ARGUMENT and nothing else. */
import { encodeCbor } from './cbor.ts'
import { badArgument } from './errors.ts'
import { requireInteger } from './limits.ts'
import { MAX_VERSION, requireName } from './protocol.ts'
import type { OpenOptions } from './types.ts'

/** Checks what does not depend on the session. */
export function requireOpen(protocol: string, options: OpenOptions): void {
  requireName(protocol)
  if (options.version !== undefined) requireInteger('version', options.version, 1, MAX_VERSION)
  if (options.early !== undefined && !(options.early instanceof Uint8Array))
    throw badArgument(`early must be a Uint8Array, not ${typeof options.early}`)
}

/** The payload of the first frame: at most `maxBytes`. */
export function encodeHead(protocol: string, params: unknown, options: OpenOptions, maxBytes: number): Uint8Array {
  const version = options.version === 1 ? undefined : options.version
  return encodeCbor({ protocol, version, params }, maxBytes, 'the first frame (protocol and params)')
}
