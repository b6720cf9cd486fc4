/**
 * All 256 values of a byte, behind each sync word: what arrives in their place tells what a line
 * does to bytes. They descend, so that a line that takes XOFF (0x13) out for itself and stops meets
 * XON (0x11) right after it.
 */
import { FrameType, SYNC_WORD } from '../frame/constants.ts'

/** How many bytes the probe has. */
export const PROBE_BYTES = 256

/** What is sent. */
export const PROBE: Uint8Array = Uint8Array.from({ length: PROBE_BYTES }, (_, index) => 255 - index)

/** The sync word as it arrives over a line of seven bits. */
export const STRIPPED_SYNC_WORD: Uint8Array = SYNC_WORD.map((byte) => byte & 0x7f)

/** Changes that are named one by one; more are counted. */
const MAX_NAMED = 6
/**
 * By how much more may be missing than was put in, or the reverse; beyond, everything is called
 * changed.
 */
const MAX_SHIFT = 40
/** More changes than there can be. */
const FAR = 10_000
/** What is sent, and how the HELLO begins that follows. */
const SENT: readonly number[] = [...PROBE, FrameType.HELLO, 0]

const hex = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`

/** What is known by a name: what a terminal's settings do. */
const KNOWN: readonly (readonly [sign: RegExp, name: string])[] = [
  [/^0x0d arrives as 0x0a$/, 'CR becomes NL (icrnl)'],
  [/^0x0a arrives as 0x0d$/, 'NL becomes CR (inlcr)'],
  [/^0x0d comes before 0x0a$/, 'NL becomes CR NL (onlcr)'],
  [/^0x(11|13) is missing$/, 'XON and XOFF are taken out (ixon, or software flow control)'],
  [/^0x0d is missing$/, 'CR is taken out (igncr)'],
  [/^0xff comes before 0xfe$/, '0xff is doubled (parmrk)'],
]

/** True where `bytes` is the probe as it was sent. */
export function isProbe(bytes: Uint8Array): boolean {
  for (let index = 0; index < PROBE_BYTES; index++) if (bytes[index] !== PROBE[index]) return false
  return true
}

/**
 * What the line did to the probe, in words: which values arrive as others, are missing, or come in
 * addition. The same for every probe of a line that does the same, so two that agree are no
 * accident.
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
  const costs = costsOfTheRest(bytes)
  const found = new Set<string>()
  let index = 0
  let at = 0
  while (index < PROBE_BYTES && at < PROBE_BYTES) {
    const sent = SENT[index] ?? 0
    const got = bytes[at] ?? 0
    const cost = costs[index]?.[at] ?? 0
    if (sent === got && costs[index + 1]?.[at + 1] === cost) {
      index++
      at++
    } else if (costs[index + 1]?.[at] === cost - 1) {
      found.add(`${hex(sent)} is missing`)
      index++
    } else if (costs[index + 1]?.[at + 1] === cost - 1) {
      found.add(`${hex(sent)} arrives as ${hex(got)}`)
      index++
      at++
    } else {
      found.add(`${hex(got)} comes before ${hex(sent)}`)
      at++
    }
  }
  return [...found]
}

/**
 * The fewest changes (a value missing, another in its place, one too many) that make `bytes` from
 * `at` on of what was sent from `index` on: the edit distance, between what is at most
 * {@link MAX_SHIFT} apart.
 */
function costsOfTheRest(bytes: Uint8Array): Uint16Array[] {
  const costs = Array.from({ length: SENT.length + 1 }, () => new Uint16Array(PROBE_BYTES + 1).fill(FAR))
  // what comes behind the known bytes may be anything
  costs[SENT.length]?.fill(0)
  for (let index = SENT.length - 1; index >= 0; index--) {
    const row = costs[index]
    const below = costs[index + 1]
    if (row === undefined || below === undefined) break
    // where bytes were put in, the end of the probe is not here any more
    row[PROBE_BYTES] = 0
    for (let at = Math.min(PROBE_BYTES - 1, index + MAX_SHIFT); at >= Math.max(0, index - MAX_SHIFT); at--) {
      const diagonal = (below[at + 1] ?? FAR) + (bytes[at] === SENT[index] ? 0 : 1)
      row[at] = Math.min(diagonal, (below[at] ?? FAR) + 1, (row[at + 1] ?? FAR) + 1)
    }
  }
  return costs
}

const TELNET_IAC = 0xff
/** WILL, WONT, DO, DONT. */
const TELNET_VERBS: ReadonlySet<number | undefined> = new Set([0xfb, 0xfc, 0xfd, 0xfe])
/** Text that other programs begin with, and what it says of the line. */
const OPENINGS: readonly (readonly [opening: string, what: string])[] = [
  ['HTTP/', 'but those of a web server or a WebSocket (websocket=on of a character device)'],
  ['GET ', 'but those of a web client or a WebSocket (websocket=on of a character device)'],
  ['SSH-', 'but those of an SSH server'],
]

/**
 * Whose the first bytes of a line are, for the end of a sentence; undefined where they are nobody's
 * that one could know.
 */
export function protocolOf(first: Uint8Array): string | undefined {
  if (first[0] === TELNET_IAC && TELNET_VERBS.has(first[1])) {
    return 'but those of telnet (telnet=on of a character device, or a terminal server): it has to be a raw socket'
  }
  const found = OPENINGS.find(([opening]) =>
    Uint8Array.from(opening, (letter) => letter.charCodeAt(0)).every((letter, at) => letter === first[at]),
  )
  return found?.[1]
}
