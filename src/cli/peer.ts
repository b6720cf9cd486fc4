/**
 * The peer of a command: `--to ADDRESS` or $TRUNKLINE_TO, with `--token-file` or
 * $TRUNKLINE_TOKEN_FILE, and with `--wait` one that is not there yet. What stands for an address
 * may be a name of the configuration, which then says the rest; only a name has the configuration
 * read. `withTrunk` owns the trunk's lifetime: it is closed, gracefully, whatever the command does.
 * That no session came about is exit status 3.
 */
import { Option, type Command } from 'commander'
import { connect } from '../index.ts'
import type { ConnectionStatus, Protocol, ReconnectingTrunk, Trunk, TrunkOptions } from '../index.ts'
import type { Context } from './context.ts'
import { asFailure, EXIT, Failure, usageError } from './failure.ts'
import { FirstSession } from './first-session.ts'
import type { PeerSection } from './config/parse.ts'
import { nameIn } from './peer-name.ts'
import { readToken, tokenFileOf } from './token-file.ts'
import { parseWait } from './wait.ts'

/** How a command names its peer. */
export interface PeerOptions {
  to?: string
  tokenFile?: string
  /** Seconds to wait until it is there; Infinity: for ever. */
  wait?: number
  /** The configuration, where it is not the usual one. */
  config?: string
}

/** A peer as it is dialled. */
export interface Peer extends Omit<PeerSection, 'to'> {
  readonly address: string
  /** Its name in the configuration, where it has one. */
  readonly name?: string
}

/** Adds `--to`, `--token-file`, `--wait` and `--config`. */
export function addPeerOptions(command: Command): Command {
  return addAddressOptions(command).option(
    '--wait [seconds]',
    'wait until the peer is there; without a number for ever',
    parseWait,
  )
}

/** Adds the peer as an argument, for commands that take nothing else: `ping @vm1`. */
export function addPeerArgument(command: Command): Command {
  return command.argument('[peer]')
}

/** The options, with the peer of the argument where there is one. */
export function withPeer<O extends PeerOptions>(options: O, peer: string | undefined): O {
  if (peer === undefined) return options
  if (options.to !== undefined) throw usageError('the argument and --to both name the peer: give one of them')
  return { ...options, to: peer }
}

/** Adds the names of kept commands as arguments, a peer before them: `logs @vm1 build`. */
export function addNamesArgument(command: Command, usage: string): Command {
  return command.usage(`[options] [@peer] ${usage}`).argument('<name...>')
}

/** The names and the options, with the peer that stands before the names where one does. */
export function withPeerOfNames<O extends PeerOptions>(
  options: O,
  [first = '', ...others]: readonly string[],
): { readonly options: O; readonly names: readonly string[] } {
  // no kept command has a name with @
  if (!first.startsWith('@')) return { options, names: [first, ...others] }
  if (others.length === 0) throw usageError(`which command? ${first} is the peer`)
  return { options: withPeer(options, first), names: others }
}

/** The same where one command is meant. */
export function withPeerOfName<O extends PeerOptions>(
  given: O,
  words: readonly string[],
): { readonly options: O; readonly name: string } {
  const { options, names } = withPeerOfNames(given, words)
  const [name = '', ...others] = names
  if (others.length > 0) throw usageError('one command at a time')
  return { options, name }
}

/** Adds what says which peer it is. */
export function addAddressOptions(command: Command): Command {
  return addConfigOption(
    command
      .option('--to <address>', 'the peer, an address or a name (default: $TRUNKLINE_TO)')
      .option('--token-file <file>', 'file with the secret that both sides have'),
  )
}

/** Adds `--config`, which few need: help has no room for it. */
export function addConfigOption(command: Command): Command {
  return command.addOption(new Option('--config <file>', 'the configuration (default: $TRUNKLINE_CONFIG)').hideHelp())
}

/** The peer that the options name, by flags before the environment before the configuration. */
export async function resolvePeer(context: Context, options: PeerOptions): Promise<Peer> {
  const given = options.to ?? context.env['TRUNKLINE_TO']
  if (given === undefined || given === '') {
    throw usageError('which peer? Give --to ADDRESS, or the NAME of one in the configuration, or set TRUNKLINE_TO')
  }
  const name = nameIn(given)
  const wait = options.wait === undefined ? {} : { wait: options.wait }
  const withToken = (configured?: string): { tokenFile?: string } => {
    const tokenFile = tokenFileOf(context, options.tokenFile, configured)
    return tokenFile === undefined ? {} : { tokenFile }
  }
  if (name === undefined) return { address: given, ...withToken(), ...wait }
  const { peerNamed } = await import('./config/load.ts')
  const { to, tokenFile, ...section } = peerNamed(context, name, options.config)
  return { ...section, address: to, name, ...withToken(tokenFile), ...wait }
}

/** `thrown`, with the line of the configuration where the address is from there and wrong. */
export async function addressError(
  context: Context,
  name: string | undefined,
  thrown: unknown,
  { config }: PeerOptions,
): Promise<Failure> {
  const failure = asFailure(thrown)
  if (name === undefined || failure.status !== EXIT.usage) return failure
  return (await import('./config/load.ts')).blamedOn(context, 'peer', name, failure, config)
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
  const { address, name, tokenFile, wait } = await resolvePeer(context, options)
  const token = await readToken(context, tokenFile)
  const first = new FirstSession(context, address, wait)
  try {
    return await dial(address, token === undefined ? {} : { token }, first)
  } catch (error) {
    throw await addressError(context, name, noSession(error), options)
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
