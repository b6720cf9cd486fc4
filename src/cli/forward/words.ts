/** A forward of the configuration, in the words of the command line: `-L 5432:127.0.0.1:5432`. */
import { usageError } from '../failure.ts'
import { wordsOf } from '../named-command.ts'
import { parseForward, parseProxy, proxySpec } from './spec.ts'
import type { ForwardSpec, ListenSpec } from './spec.ts'

/** What forwards are to be, by the options that say it. */
export interface Forwards {
  local?: ForwardSpec[]
  remote?: (ForwardSpec | ListenSpec)[]
  dynamic?: ListenSpec[]
  allow?: string[]
  listen?: string[]
}

/** Parses what `-R` is given. */
export function parseRemote(text: string): ForwardSpec | ListenSpec {
  return proxySpec(text) ?? parseForward(text)
}

/** What the text stands for; wrong usage where it is no option of `forward` with its value. */
export function forwardWords(text: string): Forwards {
  const [option, value, ...rest] = wordsOf(text)
  if (value !== undefined && rest.length === 0) {
    if (option === '-L') return { local: [parseForward(value)] }
    if (option === '-R') return { remote: [parseRemote(value)] }
    if (option === '-D') return { dynamic: [parseProxy(value)] }
    if (option === '--allow') return { allow: [value] }
    if (option === '--listen') return { listen: [value] }
  }
  throw usageError('a forward is -L, -R, -D, --allow or --listen, a blank, and what the option is given')
}

/** All of them together. */
export function forwardsOf(texts: readonly string[]): Forwards {
  const all: Required<Forwards> = { local: [], remote: [], dynamic: [], allow: [], listen: [] }
  for (const one of texts.map(forwardWords)) {
    all.local.push(...(one.local ?? []))
    all.remote.push(...(one.remote ?? []))
    all.dynamic.push(...(one.dynamic ?? []))
    all.allow.push(...(one.allow ?? []))
    all.listen.push(...(one.listen ?? []))
  }
  return all
}
