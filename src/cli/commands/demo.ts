/** `trunkline demo`: see src/cli/demo/. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import type { Role } from '../demo/child.ts'

/** Adds the command. */
export function addDemo(program: Command, context: Context): void {
  program
    .command('demo')
    .summary('see all of it at work on this machine')
    .description('Start a guest and a host on this machine and show what a trunk does.')
    // The processes of the demo are this program.
    .addOption(new Option('--role <role>').choices(['guest', 'host']).hideHelp())
    .addHelpText('after', '\nIt takes a few seconds and 300 MB in the temporary folder, and leaves nothing behind.')
    .addHelpText('after', '\nExample:\n  $ trunkline demo')
    .action(async ({ role }: { role?: Role }) => {
      // loaded here: every other command starts without it
      if (role === undefined) await (await import('../demo/demo.ts')).runDemo(context)
      else await (await import('../demo/role.ts')).playRole(context, role)
    })
}
