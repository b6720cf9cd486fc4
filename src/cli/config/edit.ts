/**
 * Changes of a configuration's text: a section is added at its end, or its statements are taken
 * out. All else, comments and order, stays as it is. What would not parse to exactly the change
 * that was asked for is refused.
 */
import { isDeepStrictEqual } from 'node:util'
import { parse, stringify, TomlError } from 'smol-toml'
import { statementsOf } from './statements.ts'

/** What a section of a peer is to say. */
export interface Entry {
  readonly to: string
  readonly 'token-file'?: string
  readonly wait?: number
}

/**
 * `text` with `[peer.NAME]` at its end; undefined where the text has no place for it, as below
 * `peer = { … }`.
 */
export function withPeer(text: string, name: string, entry: Entry | Kept): string | undefined {
  const end = text.includes('\r\n') ? '\r\n' : '\n'
  const section = stringify({ peer: { [name]: entry } })
    .trimEnd()
    .replaceAll('\n', end)
  const before = text.trim() === '' ? text : `${text.endsWith('\n') ? text : `${text}${end}`}${end}`
  return checked(text, `${before}${section}${end}`, (peers) => ({ ...peers, [name]: entry }))
}

/** What a section of a peer says that an entry cannot. */
type Kept = Readonly<Record<string, unknown>>

/**
 * `text` where the section of the peer `name` says `entry`, and what no entry can say as before;
 * undefined as for {@link withoutPeer}.
 */
export function withPeerChanged(text: string, name: string, entry: Entry): string | undefined {
  const without = withoutPeer(text, name)
  if (without === undefined) return undefined
  const {
    to: _to,
    'token-file': _file,
    wait: _wait,
    ...kept
  } = (parse(text)['peer'] as Record<string, Kept>)[name] ?? {}
  return withPeer(without, name, { ...entry, ...kept })
}

/**
 * `text` without the peer `name`; undefined where it cannot be taken out alone, as from `peer = { …
 * }`.
 */
export function withoutPeer(text: string, name: string): string | undefined {
  const isOf = (path: readonly string[] | undefined): boolean => path?.[0] === 'peer' && path[1] === name
  let result = ''
  let kept = 0
  let last: number | undefined
  for (const { path, from, to } of statementsOf(text)) {
    if (!isOf(path)) last = undefined
    else {
      // comments between two statements of the section go with it
      result += text.slice(kept, last === undefined ? from : kept)
      kept = last = to
    }
  }
  result += text.slice(kept)
  // a blank line on both sides of what has gone: one of them goes, too
  const at = text.length - kept
  const tail = result.slice(result.length - at)
  const head = result.slice(0, result.length - at)
  const joined = /(^|\n)\r?\n$/.test(head) || head === '' ? head + tail.replace(/^\r?\n/, '') : result
  return checked(text, joined, ({ [name]: _, ...others }) => others)
}

type Peers = Readonly<Record<string, unknown>>

/** `after`, where it says what `before` says with its peers changed, and nothing else. */
function checked(before: string, after: string, change: (peers: Peers) => Peers): string | undefined {
  const { peer = {}, ...others } = parse(before)
  try {
    const { peer: got = {}, ...rest } = parse(after)
    const same = isDeepStrictEqual(plain({ ...rest, peer: got }), plain({ ...others, peer: change(peer as Peers) }))
    return same ? after : undefined
  } catch (error) {
    if (error instanceof TomlError) return undefined
    throw error
  }
}

/** Without prototypes, which tell nothing. */
function plain(value: unknown): unknown {
  return structuredClone(value)
}
