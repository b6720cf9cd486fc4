/**
 * The peer of a command: `--to ADDRESS` or $TRUNKLINE_TO, with `--token-file` or
 * $TRUNKLINE_TOKEN_FILE, and with `--wait` one that is not there yet. `withTrunk` owns the trunk's
 * lifetime: it is closed, gracefully, whatever the command does. That no session came about is exit
 * status 3.
 */
import { InvalidArgumentError } from 'commander'
import type { Command } from 'commander'
import { connect } from '../index.ts'
import type { ConnectionStatus, Protocol, ReconnectingTrunk, Trunk, TrunkOptions } from '../index.ts'
import type { Context } from './context.ts'
import { asFailure, EXIT, Failure, usageError } from './failure.ts'
import { FirstSession } from './first-session.ts'
import { readToken } from './token-file.ts'

/** How a command names its peer. */
export interface PeerOptions {
  to?: string
  tokenFile?: string
  /** Seconds to wait until it is there; Infinity: for ever. */
  wait?: number
}

/** Longest wait that is counted: a day. */
const MAX_WAIT_SECONDS = 86_400
const SECONDS = /^\d+(\.\d+)?$/
/** What `--wait` stands for without a number. */
const FOR_EVER = 'for-ever'

function parseWait(text: string): number {
  if (text === FOR_EVER) return Infinity
  const seconds = Number(text)
  if (SECONDS.test(text) && seconds > 0 && seconds <= MAX_WAIT_SECONDS) return seconds
  throw new InvalidArgumentError(`It must be seconds, more than 0 and at most ${MAX_WAIT_SECONDS}.`)
}

/**
 * `--wait` takes a number and nothing else: what follows it otherwise is the command's, as in
 * `ls --wait :/`.
 */
export function withBareWait(args: readonly string[]): string[] {
  const end = args[0] === 'exec' ? execWords(args) : args.indexOf('--')
  return args.map((text, i) => {
    if (end >= 0 && i >= end) return text
    if (text === '--wait' && !SECONDS.test(args[i + 1] ?? '')) return `--wait=${FOR_EVER}`
    // what follows it is the program
    return text === '--keep' && args[0] === 'exec' ? '--keep=default' : text
  })
}

/** Where the program of `exec` begins: what is behind it is the program's. */
function execWords(args: readonly string[]): number {
  for (let i = 1; i < args.length; i++) {
    const text = args[i] ?? ''
    if (text === '--' || !text.startsWith('-')) return i
    if (TAKE_A_VALUE.has(text) || (text === '--wait' && SECONDS.test(args[i + 1] ?? ''))) i++
  }
  return -1
}

/** Options of `exec` behind which a word is no program. */
const TAKE_A_VALUE: ReadonlySet<string> = new Set(
  '-e --env -w --directory -u --user --timeout --status-fd --name --escape --to --token-file'.split(' '),
)

/** Adds `--to`, `--token-file` and `--wait`. */
export function addPeerOptions(command: Command): Command {
  return command
    .option('--to <address>', 'the peer (default: $TRUNKLINE_TO)')
    .option('--token-file <file>', 'file with the secret that both sides have')
    .option('--wait [seconds]', 'wait until the peer is there; without a number for ever', parseWait)
}

function noSession(thrown: unknown): Failure {
  const failure = asFailure(thrown)
  if (failure.status === EXIT.usage || failure.code.startsWith('ERR_AUTH_') || failure.code === 'ERR_ABORTED')
    return failure
  return new Failure(failure.code, failure.message, EXIT.noSession, { cause: thrown })
}

/** Dials the peer. The caller closes the trunk. */
export async function connectPeer(context: Context, options: PeerOptions): Promise<Trunk> {
  return await firstSession(context, options, (address, trunkOptions, first) =>
    connect(address, {
      ...trunkOptions,
      retry: true,
      signal: first.signal,
      onConnection({ state, error }) {
        if (state === 'waiting' && error !== undefined) first.failed(error)
      },
    }),
  )
}

/**
 * Dials the peer for a trunk that finds it again when it was lost. The caller closes the trunk.
 * @param onConnection told of each change after the first session
 * @param protocols what the peer is offered
 */
export async function connectPeerForGood(
  context: Context,
  options: PeerOptions,
  onConnection: (status: ConnectionStatus) => void,
  protocols: Protocol[] = [],
): Promise<ReconnectingTrunk> {
  return await firstSession(context, options, (address, trunkOptions, first) =>
    connect(address, {
      ...trunkOptions,
      protocols,
      reconnect: true,
      signal: first.signal,
      onConnection(status) {
        if (status.sessions > 0) onConnection(status)
        else if (status.state === 'waiting' && status.error !== undefined) first.failed(status.error)
      },
    }),
  )
}

/** Has `dial` try for a session, for as long as the options say. */
async function firstSession<T>(
  context: Context,
  options: PeerOptions,
  dial: (address: string, trunkOptions: TrunkOptions, first: FirstSession) => Promise<T>,
): Promise<T> {
  const address = options.to ?? context.env['TRUNKLINE_TO']
  if (address === undefined || address === '') {
    throw usageError('which peer? Give --to ADDRESS or set TRUNKLINE_TO')
  }
  const token = await readToken(context, options.tokenFile)
  const first = new FirstSession(context, address, options.wait)
  try {
    return await dial(address, token === undefined ? {} : { token }, first)
  } catch (error) {
    throw noSession(error)
  } finally {
    first.over()
  }
}

/** Runs `body` with a trunk to the peer, then closes it. */
export async function withTrunk<T>(
  context: Context,
  options: PeerOptions,
  body: (trunk: Trunk) => Promise<T>,
): Promise<T> {
  const trunk = await connectPeer(context, options)
  const close = context.owner.own(() => trunk.close())
  try {
    return await body(trunk)
  } finally {
    // What the command did was confirmed pipe by pipe; a goodbye that goes wrong takes nothing of
    // it back.
    await close().catch(() => undefined)
  }
}
