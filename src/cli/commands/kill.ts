/** `trunkline kill` and `trunkline forget`: the end of commands that the peer keeps. */
import { Option, type Command } from 'commander'
import { execClient } from '../../../protocols/exec.ts'
import { printable } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { addNamesArgument, addPeerOptions, withPeerOfNames, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { each } from '../operand-errors.ts'

interface KillOptions extends PeerOptions {
  signal: string
  tree?: boolean
}

/** Adds the command. */
export function addKill(program: Command, context: Context): void {
  const command = program
    .command('kill', { hidden: true })
    .summary('send a signal to commands that the peer keeps')
    .description('Send a signal to commands that the peer keeps: to their process groups.')
    .addOption(new Option('-s, --signal <signal>', 'which').default('TERM'))
    .option('--tree', 'to all of its processes')
    .addHelpText('after', '\nExample:\n  $ trunkline kill -s INT build')
  addPeerOptions(addNamesArgument(command, '<name...>')).action(async (words: string[], given: KillOptions) => {
    const { options, names } = withPeerOfNames(given, words)
    const { signal, tree = false } = options
    await withTrunk(context, options, async (trunk) => {
      const scope = tree ? 'tree' : 'group'
      await each(context, names, printable, (name) => execClient(trunk).kill(name, { signal, scope }))
    })
  })
}

/** Adds the command. */
export function addForget(program: Command, context: Context): void {
  const command = program
    .command('forget', { hidden: true })
    .summary('end kept commands and drop their output')
    .description('End commands that the peer keeps, where they run, and drop what is kept of them.')
    .addHelpText('after', '\nExample:\n  $ trunkline forget build')
  addPeerOptions(addNamesArgument(command, '<name...>')).action(async (words: string[], given: PeerOptions) => {
    const { options, names } = withPeerOfNames(given, words)
    await withTrunk(context, options, async (trunk) => {
      await each(context, names, printable, (name) => execClient(trunk).forget(name))
    })
  })
}
