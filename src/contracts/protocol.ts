/** What a protocol is, checked; and how a trunk keeps those it serves. */
import { badArgument } from './errors.ts'
import { requireInteger } from './limits.ts'
import type { Protocol, ProtocolDefinition } from './types.ts'

/** Longest protocol name in bytes of UTF-8. */
export const MAX_NAME_BYTES = 255
/** Largest protocol version. */
export const MAX_VERSION = 65_535

/**
 * Makes a protocol out of a name and a handler.
 *
 * - `parse` is given what the peer sent as parameters (plain objects without a prototype, arrays,
 *   strings, numbers, booleans, null, `Uint8Array`s) and returns what `handle` gets. What it throws
 *   refuses the open: a `TrunkError` with its code, anything else as ERR_PARAMS_INVALID.
 * - `handle` does the real work, then calls `accept`. See `PipeRequest`.
 *
 * @example
 * ```ts
 * const add = defineProtocol({
 *   name: 'add',
 *   parse: (params) => v.parse(v.object({ a: v.number(), b: v.number() }), params),
 *   async handle({ params, accept }) {
 *     accept({ sum: params.a + params.b })
 *   },
 * })
 * ```
 */
export function defineProtocol<P>(definition: ProtocolDefinition<P>): Protocol {
  return requireProtocol(definition)
}

/** A protocol that can be served, or ERR_BAD_ARGUMENT: a plugin may come without types. */
export function requireProtocol(given: unknown): Protocol {
  if (typeof given !== 'object' || given === null) throw badArgument(`a protocol is an object, not ${String(given)}`)
  const protocol = given as Protocol
  const name = requireName(protocol.name)
  if (typeof protocol.parse !== 'function') throw badArgument(`protocol ${name}: parse must be a function`)
  if (typeof protocol.handle !== 'function') throw badArgument(`protocol ${name}: handle must be a function`)
  if (protocol.version !== undefined) requireInteger('version', protocol.version, 1, MAX_VERSION)
  return protocol
}

/** A name that can be opened, or ERR_BAD_ARGUMENT. */
export function requireName(name: unknown): string {
  if (typeof name !== 'string' || name.length === 0 || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw badArgument(`a protocol's name is a string of 1 to ${MAX_NAME_BYTES} bytes, not ${JSON.stringify(name)}`)
  }
  return name
}
