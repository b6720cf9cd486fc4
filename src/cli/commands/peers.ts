/** `trunkline peers`: the names of the configuration; `peers add` and `peers rm` change it. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { TrunkError, connect } from '../../index.ts'
import { abortError } from '../../contracts/errors.ts'
import { withDeadline } from '../../runtime/deadline.ts'
import { inParallel } from '../../runtime/in-parallel.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import { requireAddress } from '../config/address.ts'
import { withoutPeer, withPeer, withPeerChanged } from '../config/edit.ts'
import type { Entry } from '../config/edit.ts'
import { configError, configPlace, MAX_CONFIG_BYTES, readConfigFile } from '../config/file.ts'
import type { ConfigPlace } from '../config/file.ts'
import { blamedOn, checked, loadConfiguration } from '../config/load.ts'
import { changeConfiguration } from '../config/write.ts'
import type { Context } from '../context.ts'
import { asFailure, EXIT, Failure, reportedFailure, usageError } from '../failure.ts'
import { formatDuration, formatTable } from '../format.ts'
import { addConfigOption, resolvePeer } from '../peer.ts'
import { isPattern, isPeerName, isScheme, NAME_RULE } from '../peer-name.ts'
import { readToken } from '../token-file.ts'
import { parseWait } from '../wait.ts'

interface PeersOptions {
  json?: boolean
  check?: boolean
  config?: string
}

interface AddOptions extends PeersOptions {
  tokenFile?: string
  wait?: number
  replace?: boolean
}

/** Peers that are looked for at once, and how long each has in all. */
const CHECKS_AT_ONCE = 8
const CHECK_MS = 3_000
/** How long a peer that has answered has for its goodbye. */
const CHECK_LIMITS = { closeTimeoutMs: 1_000 } as const

/** Adds the command. */
export function addPeers(program: Command, context: Context): void {
  const command = program
    .command('peers')
    .summary('list the peers that have a name, or change them')
    .description('List the peers of the configuration, the names that --to NAME, @NAME and NAME:PATH take.')
    .option('--check', 'see which are there: each is connected to')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', '\nExample:\n  $ trunkline peers add vm1 serial+unix:///run/vm1.sock')
  addConfigOption(command).action(async () => {
    await list(context, command.opts<PeersOptions>())
  })
  command
    .command('add')
    .description('Add a peer. Its name may be a pattern such as "ci-*"; then %n is the name.')
    .argument('<name>')
    .argument('<address>')
    .option('--token-file <file>', 'file with the secret that both sides have')
    .option('--wait [seconds]', 'have commands wait until it is there; without a number for ever', parseWait)
    .option('--replace', 'change a peer that is there: its address, token file and wait')
    .action(async (name: string, address: string, _: AddOptions, add: Command) => {
      await addPeer(context, name, address, add.optsWithGlobals<AddOptions>())
    })
  command
    .command('rm')
    .description('Take peers out of the configuration.')
    .argument('<name...>')
    .action(async (names: string[], _: PeersOptions, rm: Command) => {
      await removePeers(context, names, rm.optsWithGlobals<PeersOptions>())
    })
}

async function list(context: Context, options: PeersOptions): Promise<void> {
  const { peers } = loadConfiguration(context, options.config)
  for (const [name, { to }] of peers) {
    await requireAddress(to).catch((error: unknown) => {
      throw blamedOn(context, 'peer', name, error, options.config)
    })
  }
  const names = [...peers.keys()]
  const states = new Map<string, State>()
  if (options.check === true) {
    const named = names.filter((name) => !isPattern(name))
    await inParallel(named, CHECKS_AT_ONCE, async (name) => {
      states.set(name, await stateOf(context, name, options))
    })
  }
  const rows: string[][] = []
  for (const [name, { to, tokenFile, wait }] of peers) {
    const state = states.get(name)
    if (options.json === true)
      await context.stdout.line(
        printableJson({ name, address: to, tokenFile, wait: wait === Infinity ? 'inf' : wait, ...state }),
      )
    else rows.push([name, printable(to), ...(state === undefined ? [] : [shownState(state)])])
  }
  if (rows.length > 0) await context.stdout.line(formatTable(rows).join('\n'))
  if ([...states.values()].some(({ there }) => !there)) throw reportedFailure(EXIT.failed)
}

interface State {
  readonly there: boolean
  readonly milliseconds?: number
  readonly error?: string
}

function shownState({ error, milliseconds = 0 }: State): string {
  return error ?? `there, ${formatDuration(milliseconds)}`
}

async function stateOf(context: Context, name: string, options: PeersOptions): Promise<State> {
  const { clock, signal } = context
  let late: TrunkError | undefined
  const timedOut = (): TrunkError =>
    (late = new TrunkError('ERR_CONNECT_TIMEOUT', `there was no end after ${CHECK_MS / 1000} s`))
  try {
    return await withDeadline({ clock, ms: CHECK_MS, signal, timedOut }, (limit) =>
      pinged({ ...context, signal: limit }, name, options),
    )
  } catch (error) {
    if (signal.aborted) throw abortError(signal)
    return { there: false, error: asFailure(late ?? error).code }
  }
}

async function pinged(context: Context, name: string, { config }: PeersOptions): Promise<State> {
  const { clock, signal } = context
  const { address, tokenFile } = await resolvePeer(context, { to: `@${name}`, ...(config !== undefined && { config }) })
  const token = await readToken(context, tokenFile)
  const trunk = await connect(address, { signal, clock, limits: CHECK_LIMITS, ...(token !== undefined && { token }) })
  try {
    return { there: true, milliseconds: await trunk.ping({ signal }) }
  } finally {
    if (signal.aborted) trunk.abort(abortError(signal))
    else await trunk.close().catch(() => undefined)
  }
}

async function addPeer(context: Context, name: string, address: string, options: AddOptions): Promise<void> {
  const { tokenFile, wait, replace = false, config } = options
  if (isScheme(name)) throw usageError(`${name} is a scheme of addresses: ${name}:/path would look like one`)
  if (!isPeerName(name) && !isPattern(name)) throw usageError(`${JSON.stringify(name)} is no name: it has ${NAME_RULE}`)
  const entry: Entry = {
    to: requireText(address),
    ...(tokenFile !== undefined && { 'token-file': requireText(resolve(tokenFile)) }),
    ...(wait !== undefined && { wait }),
  }
  await requireAddress(address)
  await change(context, config, (place, text) => {
    const known = checked(context, place, text).peers
    if (known.has(name) && !replace)
      throw new Failure('ERR_EXISTS', `${place.shown} has a [peer.${name}]; --replace replaces it`, EXIT.failed)
    return known.has(name) ? withPeerChanged(text, name, entry) : withPeer(text, name, entry)
  })
}

async function removePeers(context: Context, names: readonly string[], { config }: PeersOptions): Promise<void> {
  await change(context, config, (place, text) => {
    const known = checked(context, place, text).peers
    const unknown = names.find((name) => !known.has(name))
    if (unknown !== undefined)
      throw new Failure('ERR_NOT_CONFIGURED', `there is no [peer.${unknown}] in ${place.shown}`, EXIT.usage)
    return [...new Set(names)].reduce<string | undefined>((rest, name) => rest && withoutPeer(rest, name), text)
  })
}

/**
 * Writes what `edit` makes of the text; undefined where it is written in a form that cannot be
 * changed here.
 */
async function change(
  context: Context,
  option: string | undefined,
  edit: (place: ConfigPlace, text: string) => string | undefined,
): Promise<void> {
  const place = configPlace(context, option)
  if (place === undefined)
    throw usageError('there is no place for a configuration: HOME and XDG_CONFIG_HOME are not set')
  await changeConfiguration(context, place, () => {
    // whether there is one already: it is made where it is not
    const text = readConfigFile({ ...place, named: false }) ?? ''
    const changed = edit(place, text)
    if (changed === undefined)
      throw configError(`${place.shown}: its peers are in a form that is only changed by hand, such as peer = { … }`)
    if (Buffer.byteLength(changed) > MAX_CONFIG_BYTES)
      throw configError(`${place.shown}: it would have more than ${MAX_CONFIG_BYTES} bytes`)
    checked(context, place, changed)
    return changed
  })
}

/** Text of the file is UTF-8, without what a terminal would obey. */
function requireText(text: string): string {
  if (printable(text) === text) return text
  throw new TrunkError('ERR_BAD_ARGUMENT', `${printable(text)} cannot stand in the configuration: it is no plain text`)
}
