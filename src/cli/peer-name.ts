/**
 * Names of peers: what `NAME:/path`, `@NAME` and `--to NAME` may hold. A name is a word for every
 * shell, for a file and for a key, and it is no scheme, so that no address looks like one.
 */
import { SCHEMES } from '../api/schemes.ts'

/** Two characters at least: one letter and a colon are a drive of Windows. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/
/** A name with wildcards. */
const PATTERN = /^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,62}$/
const WILDCARD = /[*?]/

/** What a name is, for the sentence that refuses one. */
export const NAME_RULE = '2 to 63 letters, digits, ".", "_" and "-", the first a letter or digit'

/** True where `text` can be the name of a peer. */
export function isPeerName(text: string): boolean {
  return NAME.test(text) && !isScheme(text)
}

/** True for the scheme of addresses, as in `tcp:`. */
export function isScheme(text: string): boolean {
  return text.toLowerCase() in SCHEMES
}

/** True where `text` is a pattern for names: `*` stands for any characters, `?` for one. */
export function isPattern(text: string): boolean {
  return WILDCARD.test(text) && PATTERN.test(text)
}

/** True where `pattern` fits `name`. Takes no more than their lengths multiplied. */
export function fits(pattern: string, name: string): boolean {
  let [at, from, star, resume] = [0, 0, -1, 0]
  while (from < name.length) {
    const wanted = pattern[at]
    if (wanted === '*') {
      star = at++
      resume = from
    } else if (wanted !== undefined && (wanted === '?' || wanted === name[from])) {
      at++
      from++
    } else if (star >= 0) {
      at = star + 1
      from = ++resume
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

/** The name in `@NAME` or `NAME`; undefined for an address, which has a colon. */
export function nameIn(text: string): string | undefined {
  if (text.startsWith('@')) return text.slice(1)
  return text.includes(':') ? undefined : text
}
