/** `trunkline demo`: see src/cli/demo/. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** Adds the command. */
export function addDemo(program: Command, context: Context): void {
  program
    .command('demo')
    .summary('see all of it at work on this machine')
    .description('Start a guest and a host on this machine and show what a trunk does.')
    // the demo's guest is this program
    .addOption(new Option('--guest').hideHelp())
    .addHelpText('after', '\nIt takes a few seconds and 300 MB in the temporary folder, and leaves nothing behind.')
    .addHelpText('after', '\nExample:\n  $ trunkline demo')
    .action(async ({ guest }: { guest?: true }) => {
      // loaded here: every other command starts without it
      if (guest === undefined) await (await import('../demo/demo.ts')).runDemo(context)
      else await (await import('../demo/guest.ts')).runGuest(context)
    })
}
