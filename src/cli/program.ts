/** The command tree. Each command adds itself; what they share about wrong usage is set here once. */
import { createRequire } from 'node:module'
import { Command } from 'commander'
import { addBench } from './commands/bench.ts'
import { addCat } from './commands/cat.ts'
import { addCp } from './commands/cp.ts'
import { addDemo } from './commands/demo.ts'
import { addDoctor } from './commands/doctor.ts'
import { addForward } from './commands/forward.ts'
import { addLs } from './commands/ls.ts'
import { addMkdir } from './commands/mkdir.ts'
import { addMv } from './commands/mv.ts'
import { addPing } from './commands/ping.ts'
import { addRm } from './commands/rm.ts'
import { addServe } from './commands/serve.ts'
import { addStat } from './commands/stat.ts'
import { addStatus } from './commands/status.ts'
import type { Context } from './context.ts'

/** A terminal's usual width, with a margin. */
const HELP_WIDTH = 96

const FOOTER = `
The peer is --to ADDRESS or $TRUNKLINE_TO; its paths start with a colon. More: COMMAND --help
Example:
  $ trunkline ls --to tcp://127.0.0.1:7000 :/var/log`

function version(): string {
  const found = createRequire(import.meta.url)('trunkline/package.json') as { version: string }
  return found.version
}

/**
 * The program with all its commands, each bound to `context`.
 * @param print takes the help and the version, where they are asked for
 */
export function createProgram(context: Context, print: (text: string) => void): Command {
  const program = new Command('trunkline')
  program
    .description('Many pipes over one line between a virtual machine and its host.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .usage('COMMAND [options] [arguments] | --version')
    .exitOverride()
    // The line is printed once, in its own form, by run().
    .configureOutput({
      writeOut: print,
      writeErr: (text) => {
        context.stderr.write(text)
      },
      outputError: () => undefined,
    })
    .configureHelp({ helpWidth: HELP_WIDTH, subcommandTerm: (command) => command.name() })
    .addHelpText('after', FOOTER)
  const add = [
    addServe,
    addLs,
    addCat,
    addStat,
    addMkdir,
    addRm,
    addMv,
    addCp,
    addForward,
    addPing,
    addStatus,
    addDoctor,
    addBench,
    addDemo,
  ]
  for (const addCommand of add) addCommand(program, context)
  // After the commands, which have their own options to show: here the footer says it in less room.
  program.configureHelp({
    helpWidth: HELP_WIDTH,
    subcommandTerm: (command) => command.name(),
    visibleOptions: () => [],
  })
  return program
}
