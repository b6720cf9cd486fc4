/**
 * `trunkline attach` and `trunkline wait`: a command that the peer keeps, as if we had started it;
 * its exit status is ours.
 */
import { Option, type Command } from 'commander'
import { execClient } from '../../../protocols/exec.ts'
import type { Context } from '../context.ts'
import { carried } from '../exec/streams.ts'
import { withStatus } from '../exec/status.ts'
import { onTerminal } from '../exec/terminal.ts'
import { addNamesArgument, addPeerOptions, withPeerOfName, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { parseOffset } from './logs.ts'
import { escapeCharacter, TILDE } from './exec.ts'

interface AttachOptions extends PeerOptions {
  watch?: boolean
  take?: boolean
  from?: number
  escape?: number | false
}

/** Adds both commands. */
export function addAttach(program: Command, context: Context): void {
  const command = program
    .command('attach', { hidden: true })
    .summary('go on with a command that the peer keeps')
    .description('Go on with a command that the peer keeps. Its exit status is ours; ~d leaves one on a terminal.')
    .option('--watch', 'look on; another may control it')
    .option('--take', 'also where another controls it, who then does no more')
    .addOption(
      new Option('--from <offset>', 'from this byte of its output on (default: from now on)').argParser(parseOffset),
    )
    .addOption(new Option('--escape <character>', 'in place of ~; none').argParser(escapeCharacter))
    .addHelpText('after', '\nExample:\n  $ trunkline attach work')
  addPeerOptions(addNamesArgument(command, '<name>')).action((words: string[], given: AttachOptions) => {
    const { options, name } = withPeerOfName(given, words)
    const { watch = false, take = false, from = 'tail', escape = TILDE } = options
    return withStatus(undefined, () =>
      withTrunk(context, options, async (trunk) => {
        const attached = await execClient(trunk).attach(name, { watch, take, from })
        return attached.info.tty
          ? await onTerminal(context, attached, { escape: escape === false ? undefined : escape, watches: watch })
          : await carried(context, attached, watch)
      }),
    )
  })
}

/** Adds the command. */
export function addWait(program: Command, context: Context): void {
  const command = program
    .command('wait', { hidden: true })
    .summary('wait for the end of a command that the peer keeps')
    .description('Wait for the end of a command that the peer keeps, and end with its exit status.')
    .addHelpText('after', '\nExample:\n  $ trunkline wait build')
  addPeerOptions(addNamesArgument(command, '<name>')).action((words: string[], given: PeerOptions) => {
    const { options, name } = withPeerOfName(given, words)
    return withStatus(undefined, () =>
      withTrunk(context, options, (trunk) => execClient(trunk).wait(name, { signal: context.signal })),
    )
  })
}
