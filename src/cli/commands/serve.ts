/**
 * `trunkline serve`: waits at an address for peers and offers them what the options name, and
 * nothing else. The real address is the first line on stdout; where stdout is the line itself
 * (`stdio:`) nothing is printed there.
 */
import { stat } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { serve } from '../../index.ts'
import type { Protocol, ServeOptions as ServerOptions, Server, Trunk } from '../../index.ts'
import { budgetsOf } from '../budget-option.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import { interrupted, raced } from '../context.ts'
import type { Context } from '../context.ts'
import { about, asFailure, EXIT, Failure, usageError } from '../failure.ts'
import { connectionsBy, listenersBy } from '../forward/rules.ts'
import { isLoopback, parseProxy, requireNoFlags } from '../forward/spec.ts'
import type { ListenSpec, ProxyFlags } from '../forward/spec.ts'
import { namedCommand, wordsOf } from '../named-command.ts'
import { addConfigOption } from '../peer.ts'
import { refusalLog } from '../refusal-log.ts'
import { statusOnSignal } from '../server-status.ts'
import { repeated } from '../repeated.ts'
import { readToken, tokenFileOf } from '../token-file.ts'

interface ServeOptions extends ProxyFlags {
  fs?: string
  connect?: string[]
  listen?: string[]
  bench?: boolean
  exec?: string[]
  execNamed?: string[]
  execUser?: string[]
  execNewPrivileges?: boolean
  execWithoutToken?: boolean
  budget?: string[]
  tokenFile?: string
  proxy?: ListenSpec
  as?: string
  config?: string
}

const READ_ONLY_SUFFIX = ':ro'

const append = repeated(String)

/**
 * For an option of which a second one would be taken for a further one, and could only replace the
 * first.
 */
function once(option: string): (value: string, previous: string | undefined) => string {
  return (value, previous) => {
    if (previous === undefined) return value
    throw usageError(`${option} was given twice, and there can be one: serve at a second address for the other`)
  }
}

/** Adds the command. */
export function addServe(program: Command, context: Context): void {
  const command = program
    .command('serve')
    .summary('wait for peers at an address, and offer them files and ports')
    .description('Wait for peers at an address. They may do what the options name, and nothing else.')
    .argument('[address]', 'where: tcp://HOST:PORT (port 0: any), unix:///PATH, stdio:, @NAME')
    .option('--fs <dir[:ro]>', 'offer the files below a directory; :ro for reading only', once('--fs'))
    .option('--connect <host:port>', 'let peers connect to it (any: to everywhere); repeatable', append)
    .option('--listen <host:port>', 'let peers listen there (port *: any port); repeatable', append)
    .option('--proxy <port>', 'have peers listen at [BIND:]PORT: a proxy there, connected from here', parseProxy)
    .option('--allow <host:port>', 'what --proxy connects to, and nothing else; repeatable', append)
    .option('--http', '--proxy takes http://… requests, too, besides SOCKS and CONNECT')
    .option('--proxy-auth-file <file>', '--proxy asks for the USER:PASSWORD in this file')
    .option('--insecure-bind', '--proxy may listen beyond loopback without that')
    .option('--exec <command>', 'let peers run it; any: everything; --exec-named N=COMMAND: as @N', append)
    // a screen is full
    .addOption(new Option('--exec-named <name=command>', 'let peers run it as @NAME').argParser(append).hideHelp())
    .addOption(new Option('--exec-user <name>', 'commands run as NAME, if asked for').argParser(append).hideHelp())
    .addOption(new Option('--exec-new-privileges', 'commands may gain rights by sudo').hideHelp())
    .addOption(new Option('--exec-without-token', 'commands for everybody who reaches the address').hideHelp())
    .option('--bench', 'let peers measure the line (trunkline doctor does)')
    .addOption(
      new Option('--budget <name=size>', 'what all peers together may have of it').argParser(append).hideHelp(),
    )
    .option('--token-file <file>', 'admit only peers that have the secret in this file', once('--token-file'))
    .addHelpText('after', '\nExample:\n  $ trunkline serve tcp://127.0.0.1:7000 --fs /srv:ro --connect 127.0.0.1:5432')
  addConfigOption(command)
    .addOption(new Option('--as <name>', 'as @NAME; the address may be another').hideHelp())
    .action(async (address: string | undefined, options: ServeOptions) => {
      const configured = await withConfigured(context, address, options)
      await serveAddress(context, configured.address, configured.options).catch(configured.blame)
    })
}

function rethrow(error: unknown): never {
  throw error
}

/** Where to serve, and what: flags before the environment before the configuration. */
async function withConfigured(
  context: Context,
  given: string | undefined,
  options: ServeOptions,
): Promise<{ address: string; options: ServeOptions; blame: (error: unknown) => never }> {
  const isName = given?.startsWith('@') === true
  if (isName && options.as !== undefined) throw usageError(`${given} and --as both name a server: give one of them`)
  const name = isName ? given.slice(1) : options.as
  if (name === undefined) {
    if (given === undefined) throw usageError('serve where? Give an ADDRESS, or @NAME of the configuration')
    return { address: given, options: { ...options, ...withToken(context, options) }, blame: rethrow }
  }
  const { blamedOn, serverNamed } = await import('../config/load.ts')
  const { address: own, proxy, ...section } = serverNamed(context, name, options.config)
  const address = isName ? own : (given ?? own)
  if (address === undefined) throw usageError(`[serve.${name}] has no address, and none is given`)
  return {
    address,
    blame: (error) => rethrow(address === own ? blamedOn(context, 'serve', name, error, options.config) : error),
    options: {
      ...section,
      ...(proxy !== undefined && { proxy: parseProxy(proxy) }),
      ...options,
      ...withToken(context, options, section.tokenFile),
    },
  }
}

function withToken(context: Context, options: ServeOptions, configured?: string): { tokenFile?: string } {
  const tokenFile = tokenFileOf(context, options.tokenFile, configured)
  return tokenFile === undefined ? {} : { tokenFile }
}

/** Loads what is offered, and nothing else. */
async function protocolsOf(context: Context, options: ServeOptions): Promise<Protocol[]> {
  const protocols: Protocol[] = []
  if (options.fs !== undefined) protocols.push(await filesystemOf(context, options.fs))
  const { connect = [], listen = [] } = options
  protocols.push(...(await connectionsBy(connect)), ...(await listenersBy(listen)))
  const commands = await commandsOf(context, options)
  if (commands !== undefined) protocols.push(commands)
  if (options.bench === true) protocols.push((await import('../../../protocols/bench.ts')).bench())
  return protocols
}

async function commandsOf(context: Context, options: ServeOptions): Promise<Protocol | undefined> {
  const { exec: rules = [], execNamed = [], execUser, execNewPrivileges } = options
  if (rules.length === 0 && execNamed.length === 0) {
    if (execUser === undefined && execNewPrivileges === undefined) return undefined
    throw usageError('--exec-user and --exec-new-privileges say how commands run: say by --exec which')
  }
  const byName = new Map<string, string[]>()
  for (const { name, words } of execNamed.map(namedCommand)) {
    if (byName.has(name)) throw usageError(`--exec-named ${name} was given twice, and could only replace the first`)
    byName.set(name, words)
  }
  const { exec } = await import('../../../protocols/exec.ts')
  const commands = named('--exec', () =>
    exec({
      allow: rules.includes('any') ? 'any' : rules.map(wordsOf),
      named: Object.fromEntries(byName),
      ...(execUser && { users: execUser }),
      ...(execNewPrivileges === true && { noNewPrivileges: false }),
    }),
  )
  // what outlives its session does not outlive us
  context.owner.own(() => commands.close())
  return commands
}

/**
 * Commands are the whole machine: where others reach the address they are offered for a secret, or
 * by a word that says so.
 */
function requireGuard(address: string, options: ServeOptions): void {
  const offers = options.exec !== undefined || options.execNamed !== undefined
  if (!offers || options.tokenFile !== undefined || options.execWithoutToken === true || !isReached(address)) return
  throw usageError(`others reach ${address}, and commands are offered: give --token-file, or --exec-without-token`)
}

/**
 * By others than this machine's: guests by either kind of vsock, everybody by TCP beyond loopback.
 */
function isReached(address: string): boolean {
  if (/^vsock(?:\+unix)?:/i.test(address)) return true
  const host = /^(?:serial\+)?tcp:\/\/(\[[^\]]*\]|[^:/?]*)/i.exec(address)?.[1]
  return host !== undefined && !isLoopback(host.replaceAll(/[[\]]/g, '').toLowerCase())
}

/** A bad rule is the option's fault, and its sentence says which option. */
function named<T extends Protocol>(option: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw about(option, error)
  }
}

async function filesystemOf(context: Context, value: string): Promise<Protocol> {
  const readOnly = value.endsWith(READ_ONLY_SUFFIX)
  const path = readOnly ? value.slice(0, -READ_ONLY_SUFFIX.length) : value
  const root = toBytes(byteString(path))
  try {
    if (!(await raced(context, stat(root))).isDirectory())
      throw new Failure('ERR_NOT_DIRECTORY', `${printable(path)}: not a directory`, EXIT.failed)
  } catch (error) {
    throw about(printable(path), error)
  }
  const { filesystem } = await import('../../../protocols/filesystem.ts')
  return filesystem({ root, readOnly })
}

/** What is done with each session: where there is `--proxy`, the peer gets one. */
async function proxyOf(context: Context, options: ServeOptions): Promise<(trunk: Trunk) => void> {
  const { proxy: at, allow = [] } = options
  if (at === undefined) {
    requireNoFlags(options, '--proxy')
    return () => undefined
  }
  if (allow.length === 0) throw usageError('--proxy connects for the peer: say by --allow to what')
  const { handshakeOf, proxyForSession, requireSafeBind, sessionProxy } = await import('../forward/proxy.ts')
  requireSafeBind(at, options)
  const serving = sessionProxy(context, allow, await handshakeOf(context, options))
  return (trunk) => void proxyForSession(context, trunk, at, serving)
}

async function serveAddress(context: Context, address: string, options: ServeOptions): Promise<void> {
  requireGuard(address, options)
  const log = refusalLog(context)
  let rejection: Failure | undefined
  const protocols = await protocolsOf(context, options)
  const proxy = await proxyOf(context, options)
  const budgets = budgetsOf(options.budget ?? [])
  const token = await readToken(context, options.tokenFile)
  const serverOptions: ServerOptions = {
    protocols,
    signal: context.signal,
    onPipeError: (refusal) => {
      log.refused(refusal)
    },
    onSessionError(rejected) {
      rejection = asFailure(rejected.error)
      log.rejected(rejected)
    },
    ...(token === undefined ? {} : { token }),
    ...(budgets === undefined ? {} : { budgets }),
  }
  const server = await start(address, serverOptions)
  const close = context.owner.own(() => server.close())
  // before the address is printed: who reads it may ask at once
  const quiet = statusOnSignal(context, server)
  const single = /^stdio:/i.test(address)
  if (!single) await context.stdout.line(server.address)
  const ended = drain(server, proxy)
  await Promise.race([ended, interrupted(context)])
  quiet()
  await close()
  await ended
  if (single && rejection !== undefined)
    throw new Failure(rejection.code, rejection.message, EXIT.noSession, { silent: true })
}

async function start(address: string, options: ServerOptions): Promise<Server> {
  try {
    return await serve(address, options)
  } catch (error) {
    const failure = asFailure(error)
    if (failure.status === EXIT.usage || failure.code === 'ERR_ABORTED') throw failure
    throw new Failure(failure.code, failure.message, EXIT.failed, { cause: error })
  }
}

/**
 * Resolves when no further session can come and all have ended. Each runs by itself; how it ends is
 * said by `onSessionError`.
 */
async function drain(server: Server, begin: (trunk: Trunk) => void): Promise<void> {
  const running = new Set<Promise<void>>()
  for await (const trunk of server) {
    begin(trunk)
    const ended = trunk.closed
      .catch(() => undefined)
      .then(() => {
        running.delete(ended)
      })
    running.add(ended)
  }
  await Promise.all(running)
}
