/**
 * What environment a command gets: a base that names nothing of the server's but what every program
 * needs, and what the peer may add.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'

/** Names that peers may set where nothing else is said and the commands are listed. */
const HARMLESS = ['TERM', 'LANG', 'LC_*', 'TZ', 'COLORTERM', 'NO_COLOR']
/**
 * Names that make a program run other code than its own: never to be set by whoever may run listed
 * programs alone.
 */
const NEVER = ['LD_*', 'DYLD_*', 'GCONV_PATH', 'NODE_OPTIONS', 'BASH_ENV', 'ENV', 'PATH', 'SHELLOPTS', 'IFS']
/** Where programs are looked for, unless the server's own environment says it. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const NAME = /^[A-Za-z_][A-Za-z0-9_]*\*?$/

/** What is set whatever the peer asks for. */
export type Variables = Readonly<Record<string, string>>

export class EnvironmentPolicy {
  readonly #allowed: readonly string[] | 'any'
  readonly #never: readonly string[]

  /** @param listed peers may run listed programs alone */
  constructor(given: 'any' | readonly string[] | undefined, listed: boolean) {
    this.#allowed = given ?? (listed ? HARMLESS : 'any')
    this.#never = listed ? NEVER : []
    if (this.#allowed === 'any') return
    if (!Array.isArray(this.#allowed)) throw badArgument(`env must be 'any' or names, not ${String(this.#allowed)}`)
    for (const name of this.#allowed as readonly unknown[]) {
      if (typeof name !== 'string' || !NAME.test(name))
        throw badArgument(`env has ${JSON.stringify(name)}, which is neither a name nor a PREFIX_*`)
      if (this.#never.some((never) => matches(never, name)))
        throw badArgument(`env has ${name}, by which a peer would run programs that allow does not list`)
    }
  }

  /**
   * All of a command's environment, `NAME=value` each: `base` (nothing of it where `clear` is), and
   * what is asked for. Throws ERR_DENIED for a name that may not be set.
   */
  resolve(base: Variables, asked: Readonly<Record<string, Uint8Array | string>>, clear: boolean): Map<string, Buffer> {
    const all = new Map<string, Buffer>()
    if (!clear) for (const [name, value] of Object.entries(base)) all.set(name, Buffer.from(value))
    for (const [name, value] of Object.entries(asked)) {
      if (!this.#may(name))
        throw new TrunkError('ERR_DENIED', `the environment variable ${name.slice(0, 64)} may not be set`)
      all.set(name, Buffer.from(value))
    }
    return all
  }

  #may(name: string): boolean {
    if (this.#never.some((pattern) => matches(pattern, name))) return false
    return this.#allowed === 'any' || this.#allowed.some((pattern) => matches(pattern, name))
  }
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

/** The base where nothing else is given. */
export function baseOf(user: { name: string; home: string; shell: string }, own: NodeJS.ProcessEnv): Variables {
  const { PATH: path = PATH, LANG: lang } = own
  const { name, home, shell } = user
  return {
    PATH: path === '' ? PATH : path,
    HOME: home,
    USER: name,
    LOGNAME: name,
    SHELL: shell,
    ...(lang === undefined ? {} : { LANG: lang }),
  }
}
