/**
 * From the text of a configuration to what it says, or to its mistakes: each with its line and its
 * key, in the order of the lines, MAX_MISTAKES at the most. Nothing of a file with a mistake is
 * used.
 */
import { parse, TomlError } from 'smol-toml'
import * as v from 'valibot'
import { printable } from '../../runtime/printable.ts'
import { KINDS } from './kinds.ts'
import { isPattern, isPeerName, isScheme, NAME_RULE } from '../peer-name.ts'
import { isSection, SCHEMA } from './schema.ts'
import type { Key, Section } from './schema.ts'
import { lineOf, statementsOf } from './statements.ts'

/** Mistakes of one file that are said; further ones are there when these are cured. */
export const MAX_MISTAKES = 20
/** Characters of a foreign key that are shown. */
const MAX_SHOWN = 60
/** Tables and lists in each other: the parser fails on more. */
const MAX_DEPTH = 32

/** What is wrong, and where. */
export interface Mistake {
  readonly line: number
  readonly key: string
  readonly sentence: string
}

/** What is said of a peer, or of every peer. */
export interface PeerSection {
  readonly to?: string
  readonly tokenFile?: string
  /** Seconds; Infinity: for ever. */
  readonly wait?: number
  readonly forward?: readonly string[]
  readonly exec?: { readonly user?: string; readonly cwd?: string }
}

/** What is said of a server: the values of its options, as they are written. */
export interface ServeSection {
  readonly address?: string
  readonly fs?: string
  readonly connect?: string[]
  readonly listen?: string[]
  readonly proxy?: string
  readonly allow?: string[]
  readonly http?: boolean
  readonly proxyAuthFile?: string
  readonly insecureBind?: boolean
  readonly exec?: string[]
  readonly execNamed?: string[]
  readonly execUser?: string[]
  readonly execNewPrivileges?: boolean
  readonly execWithoutToken?: boolean
  readonly bench?: boolean
  readonly budget?: string[]
  readonly tokenFile?: string
}

/** A whole configuration. */
export interface Configuration {
  readonly defaults: Pick<PeerSection, 'wait' | 'tokenFile'>
  /** By name or pattern, in the file's order. */
  readonly peers: ReadonlyMap<string, PeerSection & { readonly to: string }>
  readonly serves: ReadonlyMap<string, ServeSection>
}

/** A configuration without a word. */
export const EMPTY: Configuration = { defaults: {}, peers: new Map(), serves: new Map() }

type Outcome = { readonly configuration: Configuration } | { readonly mistakes: readonly Mistake[] }

/** See the head of this file. */
export function parseConfiguration(text: string): Outcome {
  let whole: Table
  try {
    whole = parse(text, { maxDepth: MAX_DEPTH })
  } catch (error) {
    return { mistakes: [syntaxMistake(text, error)] }
  }
  const found: Found[] = []
  const configuration = readAll(whole, found)
  if (found.length === 0) return { configuration }
  const statements = statementsOf(text)
  const mistakes = found.map(({ path, sentence }) => ({
    line: lineOf(statements, path),
    key: path.map(shownKey).join('.'),
    sentence,
  }))
  return { mistakes: mistakes.sort((a, b) => a.line - b.line).slice(0, MAX_MISTAKES) }
}

type Table = Readonly<Record<string, unknown>>
interface Found {
  readonly path: readonly string[]
  readonly sentence: string
}

/** A name in a key, as TOML writes it. */
export function shownKey(name: string): string {
  const short = name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name
  return /^[\w-]+$/.test(name) ? short : printable(JSON.stringify(short))
}

/** What the parser has said of the text. */
function syntaxMistake(text: string, error: unknown): Mistake {
  if (!(error instanceof TomlError)) throw error
  const { line, message } = error
  const sentence = (message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
  const at = statementsOf(text).findLast((statement) => statement.line <= line)
  const key = at?.path?.map(shownKey).join('.') ?? shownLine(text, line)
  return { line, key, sentence }
}

/** Where it has no key that could be read. */
function shownLine(text: string, line: number): string {
  const [key = ''] = (text.split('\n', line)[line - 1] ?? '').split('=')
  return printable(key.trim().slice(0, MAX_SHOWN)) || 'the end of the line'
}

function readAll(whole: Table, found: Found[]): Configuration {
  const known = Object.keys(SCHEMA)
  for (const name of Object.keys(whole))
    if (!known.includes(name)) found.push({ path: [name], sentence: unknownKey(known) })
  const peers = named(whole['peer'], 'peer', found, (name) => isPattern(name) || isPeerName(name))
  const serves = named(whole['serve'], 'serve', found, isPeerName)
  return {
    defaults: readSection(whole['defaults'] ?? {}, SCHEMA.defaults, ['defaults'], found),
    peers: peers as Configuration['peers'],
    serves,
  }
}

function named(
  value: unknown,
  kind: 'peer' | 'serve',
  found: Found[],
  mayBe: (name: string) => boolean,
): Map<string, object> {
  const sections = new Map<string, object>()
  if (value === undefined) return sections
  if (!isTable(value)) {
    found.push({ path: [kind], sentence: `it is ${typeOf(value)}, and has to be a table: [${kind}.NAME]` })
    return sections
  }
  for (const [name, section] of Object.entries(value)) {
    const path = [kind, name]
    if (mayBe(name)) sections.set(name, readSection(section, SCHEMA[kind], path, found))
    else if (isScheme(name)) found.push({ path, sentence: `a name cannot be the scheme of addresses ${name}:` })
    else found.push({ path, sentence: `a name has ${NAME_RULE}` })
  }
  return sections
}

function readSection(value: unknown, section: Section, path: readonly string[], found: Found[]): object {
  if (!isTable(value)) {
    found.push({ path, sentence: `it is ${typeOf(value)}, and has to be a table` })
    return {}
  }
  const known = Object.keys(section.keys)
  const read = new Map<string, unknown>()
  for (const [name, inner] of Object.entries(value)) {
    const entry = Object.hasOwn(section.keys, name) ? section.keys[name] : undefined
    const whole = [...path, name]
    if (entry === undefined) found.push({ path: whole, sentence: unknownKey(known) })
    else if (isSection(entry)) read.set(name, readSection(inner, entry, whole, found))
    else if (mayHold(inner, entry, whole, found)) read.set(camel(name), inner)
  }
  for (const [name, entry] of Object.entries(section.keys))
    if (!isSection(entry) && entry.required === true && !Object.hasOwn(value, name))
      found.push({ path, sentence: `it has no ${name}` })
  return Object.fromEntries(read)
}

function mayHold(value: unknown, { kind }: Key, path: readonly string[], found: Found[]): boolean {
  const { schema, wanted } = KINDS[kind]
  const { issues } = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true })
  const [issue] = issues ?? []
  if (issue === undefined) return true
  const at = issue.path?.[0]?.key
  const which = typeof at === 'number' ? `entry ${at + 1}: ` : ''
  const sentence =
    issue.kind === 'schema'
      ? `it is ${typeOf(issue.input)}, and has to be ${wanted}`
      : sentenceOf(issue.input, issue.message)
  found.push({ path, sentence: `${which}${sentence}` })
  return false
}

function sentenceOf(value: unknown, message: string): string {
  const shown = printable(JSON.stringify(value))
  const short = shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}…` : shown
  return message.includes(shown) ? message : `${short}: ${message}`
}

function unknownKey(known: readonly string[]): string {
  return `there is no such key; there are ${known.join(', ')}`
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** What a value is, in TOML's words. */
function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date or time'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'boolean') return 'true or false'
  return typeof value === 'number' || typeof value === 'bigint' ? 'a number' : 'a table'
}

/** `token-file` as `tokenFile`. */
function camel(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
