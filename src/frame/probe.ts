/**
 * All 256 values of a byte, behind each sync word: what arrives in their place tells what a line does to bytes. They descend, so that a line
 * that takes XOFF (0x13) out for itself and stops meets XON (0x11) right after it.
 */
import { SYNC_WORD } from './constants.ts'

/** How many bytes the probe has. */
export const PROBE_BYTES = 256

/** What is sent. */
export const PROBE: Uint8Array = Uint8Array.from({ length: PROBE_BYTES }, (_, index) => 255 - index)

/** The sync word as it arrives over a line of seven bits. */
export const STRIPPED_SYNC_WORD: Uint8Array = SYNC_WORD.map((byte) => byte & 0x7f)

/** Changes that are named one by one; more are counted. */
const MAX_NAMED = 6
/** How many bytes in a row may have been put in. */
const LOOK_AHEAD = 4

const hex = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`

/** What is known by a name: what a terminal's settings do. */
const KNOWN: readonly (readonly [sign: RegExp, name: string])[] = [
  [/^0x0d arrives as 0x0a$/, 'CR becomes NL (icrnl)'],
  [/^0x0a arrives as 0x0d$/, 'NL becomes CR (inlcr)'],
  [/^0x0d comes before 0x0a$/, 'NL becomes CR NL (onlcr)'],
  [/^0x(11|13) is missing$/, 'XON and XOFF are taken out (ixon, or software flow control)'],
  [/^0x0d is missing$/, 'CR is taken out (igncr)'],
]

/** True where `bytes` is the probe as it was sent. */
export function isProbe(bytes: Uint8Array): boolean {
  for (let index = 0; index < PROBE_BYTES; index++) if (bytes[index] !== PROBE[index]) return false
  return true
}

/**
 * What the line did to the probe, in words: which values arrive as others, are missing, or come in addition. The same for every probe of
 * a line that does the same, so two that agree are no accident.
 */
export function diagnose(bytes: Uint8Array): string {
  const stripped = PROBE.every((byte, index) => bytes[index] === (byte & 0x7f))
  if (stripped) return 'the eighth bit of every byte is cut off (seven data bits, or istrip)'
  const changes = differences(bytes)
  const names = new Set<string>()
  for (const change of changes) for (const [sign, name] of KNOWN) if (sign.test(change)) names.add(name)
  const shown = changes.slice(0, MAX_NAMED).join(', ')
  const more = changes.length > MAX_NAMED ? ` and ${changes.length - MAX_NAMED} more` : ''
  return names.size > 0 ? `${shown}${more}: ${[...names].join('; ')}` : `${shown}${more}`
}

function differences(bytes: Uint8Array): string[] {
  const found: string[] = []
  let at = 0
  for (let index = 0; index < PROBE_BYTES && at < bytes.byteLength; index++) {
    const expected = PROBE[index] ?? 0
    const got = bytes[at] ?? 0
    if (got === expected) {
      at++
    } else if (bytes[at + 1] === PROBE[index + 1]) {
      found.push(`${hex(expected)} arrives as ${hex(got)}`)
      at++
    } else if (got === PROBE[index + 1]) {
      found.push(`${hex(expected)} is missing`)
    } else {
      const added = addedBefore(bytes, at, expected)
      for (let i = 0; i < added; i++) found.push(`${hex(bytes[at + i] ?? 0)} comes before ${hex(expected)}`)
      if (added === 0) found.push(`${hex(expected)} arrives as ${hex(got)}`)
      at += added + 1
    }
  }
  return found
}

/** How many bytes were put in before `expected`; 0 for none. */
function addedBefore(bytes: Uint8Array, at: number, expected: number): number {
  for (let added = 1; added <= LOOK_AHEAD; added++) if (bytes[at + added] === expected) return added
  return 0
}
