/** The first frame of a pipe: protocol, version and parameters, checked, encoded and decoded. */
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../core/cbor.ts'
import { badArgument, TrunkError } from '../contracts/errors.ts'
import { requireInteger } from '../contracts/limits.ts'
import { MAX_VERSION, requireName } from '../contracts/protocol.ts'
import { requireSignal } from '../runtime/on-abort.ts'
import { onFirstUse } from '../runtime/first-use.ts'
import type { OpenOptions } from '../contracts/types.ts'

/** What the first frame of a pipe says. */
export interface OpenRequest {
  readonly protocol: string
  readonly version: number
  readonly params?: unknown
}

const openRequest = onFirstUse(() =>
  v.object({ protocol: v.string(), version: v.optional(v.number(), 1), params: v.optional(v.unknown()) }),
)

/**
 * So many first frames without parameters are known by their bytes: one for each protocol that a
 * peer uses.
 */
const MAX_KNOWN = 16
/**
 * Longer ones are not kept: a peer that sends many of them would have each compared with all the
 * others.
 */
const MAX_KNOWN_BYTES = 64

/**
 * The first frames of one session. Without parameters a protocol's is always the same, so each is
 * encoded and decoded once: what the library and the validation cost is in
 * docs/internals/performance.md.
 */
export class OpenRequestCache {
  readonly #encoded = new Map<string, Uint8Array>()
  readonly #decoded: { readonly bytes: Uint8Array; readonly request: OpenRequest }[] = []

  /** The payload, of at most `maxBytes`. Throws ERR_BAD_ARGUMENT and nothing else. */
  encode(protocol: string, params: unknown, options: OpenOptions, maxBytes: number): Uint8Array {
    const plain = params === undefined && options.version === undefined
    const known = plain ? this.#encoded.get(protocol) : undefined
    if (known !== undefined) return known
    requireName(protocol)
    if (options.version !== undefined) requireInteger('version', options.version, 1, MAX_VERSION)
    const version = options.version === 1 ? undefined : options.version
    const bytes = encodeCbor({ protocol, version, params }, maxBytes, 'the first frame (protocol and params)')
    if (plain && this.#encoded.size < MAX_KNOWN) this.#encoded.set(protocol, bytes)
    return bytes
  }

  /**
   * What a peer's payload says; throws ERR_PARAMS_INVALID. `bytes` may be written to afterwards.
   */
  decode(bytes: Uint8Array): OpenRequest {
    for (const known of this.#decoded) if (isSame(known.bytes, bytes)) return known.request
    let request: OpenRequest
    try {
      request = v.parse(openRequest(), decodeCbor(bytes, 'ERR_PARAMS_INVALID', 'the first frame'))
      requireName(request.protocol)
    } catch (error) {
      throw new TrunkError('ERR_PARAMS_INVALID', 'the first frame of the pipe is not valid', { cause: error })
    }
    if (request.params === undefined && this.#decoded.length < MAX_KNOWN && bytes.byteLength <= MAX_KNOWN_BYTES) {
      this.#decoded.push({ bytes: new Uint8Array(bytes), request })
    }
    return request
  }
}

/** What travels beside the first frame; ERR_BAD_ARGUMENT where it cannot. */
export function bytesAtOnce({ early, body }: OpenOptions): Uint8Array | undefined {
  for (const [name, given] of Object.entries({ early, body })) {
    if (given !== undefined && !(given instanceof Uint8Array))
      throw badArgument(`${name} must be a Uint8Array, not ${typeof given}`)
  }
  if (early !== undefined && body !== undefined)
    throw badArgument('early and body are two: body is all that is written, early what goes before the rest')
  return body ?? early
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.byteLength !== other.byteLength) return false
  for (let at = 0; at < one.byteLength; at++) if (one[at] !== other[at]) return false
  return true
}

/** Throws ERR_BAD_ARGUMENT for a bad signal or time limit. */
export function requireOpenOptions({ signal, answerTimeoutMs, progressTimeoutMs }: OpenOptions): void {
  requireMs('answerTimeoutMs', answerTimeoutMs)
  requireMs('progressTimeoutMs', progressTimeoutMs)
  if (signal !== undefined) requireSignal(signal)
}

function requireMs(name: string, given: number | undefined): void {
  if (given !== undefined) requireInteger(name, given, 1, 2 ** 31 - 1)
}
