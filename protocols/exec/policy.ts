/**
 * Who may run what. A rule is a pattern of arguments; its program, and the one that the peer asks
 * for, are both followed to the real file, and that file is executed. Nothing is allowed that no
 * rule allows.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import type { LaunchPlan } from './launch.ts'
import { EnvironmentPolicy, type Variables } from './environment.ts'
import { launchFailure } from './failures.ts'
import type { Spec, StartRequest } from './messages.ts'
import { enterable, findProgram, realFile, within } from './search.ts'

/**
 * Arguments that may be run: texts, `*` for any one, `**` (the last) for any further ones. The
 * first is the program.
 */
export type CommandRule = readonly string[]

/** What the policy is made of. */
export interface PolicyOptions {
  /** `any`: the whole machine, as far as this user has it. */
  readonly allow: 'any' | readonly CommandRule[]
  /**
   * What a peer runs as `@name`: these arguments and, where `**` is the last, its own behind them.
   */
  readonly named?: Readonly<Record<string, CommandRule>>
  /**
   * Environment variables that peers may set: names and `PREFIX_*`. @default any with
   * `allow: 'any'`, else TERM, LANG, LC_*, TZ, COLORTERM and NO_COLOR
   */
  readonly env?: 'any' | readonly string[]
}

/** Where a command starts, which is a matter of the user that it runs as. */
export interface Place {
  readonly directory: Buffer
  /** A directory that is asked for must lie in it. */
  readonly confined: boolean
  readonly base: Variables
}

/** What a policy says of a command that it allows. */
export type Decided = Pick<LaunchPlan, 'file' | 'argv' | 'env' | 'directory'>

const REST = '**'
const ONE = '*'
const NAMED = 0x40
const SLASH = 0x2f

export class CommandPolicy {
  readonly #rules: readonly CommandRule[] | 'any'
  readonly #named: ReadonlyMap<string, CommandRule>
  readonly #environment: EnvironmentPolicy

  constructor(options: PolicyOptions) {
    const { allow, named = {}, env } = options
    if (allow !== 'any' && !Array.isArray(allow))
      throw badArgument(`allow must be 'any' or rules, not ${String(allow)}`)
    if (allow !== 'any') for (const rule of allow) requireRule('allow', rule)
    for (const [name, rule] of Object.entries(named)) {
      requireRule(`named.${name}`, rule)
      if (rule.includes(ONE)) throw badArgument(`named.${name} is what is run: it can have '**' at its end, and no '*'`)
    }
    this.#rules = allow
    this.#named = new Map(Object.entries(named))
    this.#environment = new EnvironmentPolicy(env, allow !== 'any')
  }

  /** What is to be launched for a request. Throws ERR_DENIED, or as a launch does. */
  async plan(request: StartRequest, spec: Spec, place: Place): Promise<Decided> {
    const asked = spec.argv.map((argument) => Buffer.from(argument))
    const env = this.#environment.resolve(place.base, spec.env ?? {}, request.clearEnv)
    const directory = await directoryOf(place, request.cwd)
    await enterable(directory)
    const path = Buffer.from(place.base['PATH'] ?? '')
    const { file, argv } = await this.#decide(asked, env.get('PATH') ?? path, path, directory)
    return {
      file,
      argv,
      env: [...env].map(([name, value]) => Buffer.concat([Buffer.from(`${name}=`), value])),
      directory,
    }
  }

  async #decide(
    asked: readonly Buffer[],
    peersPath: Buffer,
    ownPath: Buffer,
    directory: Buffer,
  ): Promise<{ file: Buffer; argv: readonly Buffer[] }> {
    const [name = Buffer.alloc(0), ...rest] = asked
    if (name[0] === NAMED && !name.includes(SLASH)) {
      const argv = this.#namedCommand(name.subarray(1).toString(), rest)
      return { file: await findProgram(argv[0] ?? name, ownPath, directory), argv }
    }
    if (this.#rules === 'any') return { file: await findProgram(name, peersPath, directory), argv: asked }
    // what no rule could allow is not looked for: the answer would tell which files there are
    const rules = this.#rules.filter((rule) => matches(rule, asked))
    if (rules.length === 0) throw denied()
    const file = await realFile(await findProgram(name, ownPath, directory))
    for (const [program = ''] of rules) {
      // a rule's program that is missing allows nothing
      const allowed = await findProgram(Buffer.from(program), ownPath, directory)
        .then(realFile)
        .catch(() => undefined)
      if (allowed?.equals(file) === true) return { file, argv: asked }
    }
    throw denied()
  }

  #namedCommand(name: string, rest: readonly Buffer[]): Buffer[] {
    const rule = this.#named.get(name)
    if (rule === undefined) throw new TrunkError('ERR_DENIED', 'there is no named command of that name')
    const takesRest = rule.at(-1) === REST
    if (!takesRest && rest.length > 0)
      throw new TrunkError('ERR_DENIED', 'the named command takes no arguments of the caller')
    return [...(takesRest ? rule.slice(0, -1) : rule).map((text) => Buffer.from(text)), ...rest]
  }
}

const ROOT = Buffer.from('/')

async function directoryOf({ directory, confined }: Place, cwd: Uint8Array | string | undefined): Promise<Buffer> {
  const asked = within(directory, Buffer.from(cwd ?? ''))
  if (!confined || cwd === undefined) return asked
  const real = await realFile(asked).catch((error: unknown) => {
    throw launchFailure('directory', 'ENOENT', error)
  })
  const root = await realFile(directory)
  const inside = real.equals(root) || root.equals(ROOT) || real.indexOf(Buffer.concat([root, ROOT])) === 0
  if (!inside) throw new TrunkError('ERR_DENIED', 'directory: it lies outside the one that commands may start in')
  return real
}

/**
 * By the arguments, and by the last part of the program's name: one file may be many programs,
 * which it tells by the name that it was called by, and a rule for one of them is none for the
 * others.
 */
function matches(rule: CommandRule, asked: readonly Buffer[]): boolean {
  const takesRest = rule.at(-1) === REST
  const fixed = takesRest ? rule.slice(0, -1) : rule
  if (takesRest ? asked.length < fixed.length : asked.length !== fixed.length) return false
  return fixed.every((pattern, i) => {
    const argument = asked[i] ?? Buffer.alloc(0)
    if (i === 0) return lastPart(Buffer.from(pattern)).equals(lastPart(argument))
    return pattern === ONE || Buffer.from(pattern).equals(argument)
  })
}

function lastPart(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1)
}

function denied(): TrunkError {
  return new TrunkError('ERR_DENIED', 'no rule of the server allows that command')
}

function requireRule(what: string, rule: unknown): void {
  const isRule =
    Array.isArray(rule) && rule.length > 0 && rule.every((text) => typeof text === 'string' && !text.includes('\0'))
  if (!isRule) throw badArgument(`${what}: a rule is a list of arguments, of which the first is the program`)
  const [program] = rule as [string]
  if (program === '' || program === ONE || program === REST)
    throw badArgument(`${what}: a rule names its program; 'any' in place of rules allows all`)
  if (rule.slice(0, -1).includes(REST)) throw badArgument(`${what}: '**' stands for the rest, and comes last`)
}
