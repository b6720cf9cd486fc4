/** The configuration of a command, read once, and what it says of a name. */
import { say } from '../context.ts'
import type { Context } from '../context.ts'
import { asFailure, errorLine, EXIT, Failure } from '../failure.ts'
import { configError, configPlace, readConfigFile } from './file.ts'
import type { ConfigPlace } from './file.ts'
import { fits, isPattern, isPeerName, NAME_RULE } from '../peer-name.ts'
import { EMPTY, parseConfiguration, shownKey } from './parse.ts'
import type { Configuration, Mistake, PeerSection, ServeSection } from './parse.ts'
import { lineOf, statementsOf } from './statements.ts'

/** A configuration, and the file that it is from. */
export interface Loaded extends Configuration {
  readonly place: ConfigPlace | undefined
  readonly text: string
}

/** Each file of a command is read once: all that it says holds together. */
const loaded = new WeakMap<Context, Map<string | undefined, Loaded>>()

/**
 * The configuration that holds for this command. Every mistake in it is one line on stderr; there
 * is no command then.
 */
export function loadConfiguration(context: Context, option?: string): Loaded {
  const files = loaded.get(context) ?? new Map<string | undefined, Loaded>()
  loaded.set(context, files)
  const found = files.get(option) ?? load(context, option)
  files.set(option, found)
  return found
}

function load(context: Context, option: string | undefined): Loaded {
  const place = configPlace(context, option)
  const text = place && readConfigFile(place)
  if (place === undefined || text === undefined) return { ...EMPTY, place, text: '' }
  return { ...checked(context, place, text), place, text }
}

/** What `text` says. Where it has mistakes all but the last are said, and that is thrown. */
export function checked(context: Context, place: ConfigPlace, text: string): Configuration {
  const outcome = parseConfiguration(text)
  if ('configuration' in outcome) return outcome.configuration
  const failures = outcome.mistakes.map((mistake) => mistakeError(place, mistake))
  const last = failures.pop()
  for (const { code, message } of failures) say(context, errorLine(code, message))
  throw last ?? configError(place.shown)
}

function mistakeError({ shown }: ConfigPlace, { line, key, sentence }: Mistake): Failure {
  return configError(`${shown}:${line}: ${key}: ${sentence}`)
}

/** What the configuration says of the peer `name`, with the defaults, and `%n` replaced. */
export function peerNamed(context: Context, name: string, option?: string): PeerSection & { readonly to: string } {
  const configuration = loadConfiguration(context, option)
  const { peers, defaults } = configuration
  if (!isPeerName(name)) throw notConfigured(`${JSON.stringify(name)} is no name of a peer: ${NAME_RULE}`)
  const key = peers.has(name) ? name : patternFor(configuration, name)
  const section = key === undefined ? undefined : peers.get(key)
  if (section === undefined) throw notConfigured(`there is no [peer.${name}] in ${whereOf(configuration)}`)
  const { tokenFile = defaults.tokenFile, wait = defaults.wait } = section
  return {
    ...section,
    to: section.to.replaceAll('%n', name),
    ...(tokenFile !== undefined && { tokenFile: atHome(context, tokenFile.replaceAll('%n', name)) }),
    ...(wait !== undefined && { wait }),
  }
}

/** The one pattern that fits; which of two was meant nobody can tell. */
function patternFor({ peers, place, text }: Loaded, name: string): string | undefined {
  const fitting = [...peers.keys()].filter((key) => isPattern(key) && fits(key, name))
  const [first, second] = fitting
  if (first === undefined || second === undefined) return first
  const line = lineOf(statementsOf(text), ['peer', second])
  throw configError(
    `${place?.shown}:${line}: peer.${shownKey(second)}: it fits ${name}, as "${first}" does; give ${name} a section of its own`,
  )
}

/** What the configuration says of the server `name`. */
export function serverNamed(context: Context, name: string, option?: string): ServeSection {
  const configuration = loadConfiguration(context, option)
  const section = configuration.serves.get(name)
  if (section === undefined) throw notConfigured(`there is no [serve.${name}] in ${whereOf(configuration)}`)
  const { fs, tokenFile, proxyAuthFile } = section
  return {
    ...section,
    ...(fs !== undefined && { fs: atHome(context, fs) }),
    ...(tokenFile !== undefined && { tokenFile: atHome(context, tokenFile) }),
    ...(proxyAuthFile !== undefined && { proxyAuthFile: atHome(context, proxyAuthFile) }),
  }
}

/** A path of the configuration, `~` being the home directory. */
function atHome({ env }: Context, path: string): string {
  if (!path.startsWith('~/')) return path
  const { HOME } = env
  if (HOME === undefined || !HOME.startsWith('/')) throw configError(`${path}: HOME is not set`)
  return `${HOME}${path.slice(1)}`
}

function notConfigured(sentence: string): Failure {
  return new Failure('ERR_NOT_CONFIGURED', sentence, EXIT.usage)
}

function whereOf({ place }: Loaded): string {
  return place?.shown ?? 'any configuration: HOME and XDG_CONFIG_HOME are not set'
}

/** Codes of what is wrong with an address. */
const OF_ADDRESSES: ReadonlySet<string> = new Set(['ERR_ADDRESS_INVALID', 'ERR_TRANSPORT_UNKNOWN'])

/**
 * What is wrong with an address of the configuration, with the line and key that say it. An error
 * of anything else is left as it is.
 * @param name of the peer or the server that the address is for
 */
export function blamedOn(
  context: Context,
  kind: 'peer' | 'serve',
  name: string,
  thrown: unknown,
  option?: string,
): Failure {
  const failure = asFailure(thrown)
  const configuration = loadConfiguration(context, option)
  const { place, text, peers } = configuration
  if (!OF_ADDRESSES.has(failure.code) || place === undefined) return failure
  const key = kind === 'serve' || peers.has(name) ? name : (patternFor(configuration, name) ?? name)
  const path = [kind, key, kind === 'peer' ? 'to' : 'address']
  const line = lineOf(statementsOf(text), path)
  const sentence = `${place.shown}:${line}: ${path.map(shownKey).join('.')}: ${failure.message}`
  return new Failure(failure.code, sentence, failure.status, { cause: failure })
}
