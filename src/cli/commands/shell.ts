/** `trunkline shell`: the shell of the peer's user, on a terminal where ours is one. */
import { Option, type Command } from 'commander'
import type { Context } from '../context.ts'
import { isTerminal } from '../descriptor/polled.ts'
import { withStatus } from '../exec/status.ts'
import { addPeerArgument, addPeerOptions, withPeer } from '../peer.ts'
import { escapeCharacter, execute, type ExecOptions } from './exec.ts'

/** The peer knows which shell that is. */
const SHELL = ['sh', '-c', 'exec "${SHELL:-/bin/sh}" "$@"', 'sh']

/** Adds the command. */
export function addShell(program: Command, context: Context): void {
  const command = program
    .command('shell', { hidden: true })
    .summary('the shell of the peer’s user')
    .description(
      'The shell of the peer’s user: on a terminal where ours is one, else it reads commands from our input.',
    )
    .option('-l, --login', 'as a login shell')
    .option('-u, --user <name>', 'as whom it runs')
    .option('-d, --detach', 'print its name and leave it')
    .option('--name <name>', 'keep it under this name, also when the session is lost (trunkline attach)')
    .addOption(new Option('--escape <character>', 'in place of ~; none').argParser(escapeCharacter))
    .addHelpText('after', '\nExample:\n  $ trunkline shell --name work')
  const withArgument = addPeerOptions(addPeerArgument(command))
  withArgument.action((peer: string | undefined, options: ExecOptions & { login?: boolean }) => {
    // one that is left reads nothing of ours: it waits for whoever attaches, on a terminal
    const tty = options.detach === true || (isTerminal(context.stdin) && context.stdout.isTerminal)
    const words = options.login === true ? [...SHELL, '-l'] : SHELL
    return withStatus(undefined, () => execute(context, words, { ...withPeer(options, peer), tty }))
  })
}
