/**
 * The command tree. Each command adds itself; what they share about wrong usage is set here once.
 */
import { createRequire } from 'node:module'
import { Command } from 'commander'
import type { Context } from './context.ts'

const VERSION = '--version'
/** A terminal's usual width, with a margin. */
const HELP_WIDTH = 96

const FOOTER = `Example:
  $ trunkline ls --to tcp://127.0.0.1:7000 :/var/log`

/**
 * Put in by src/cli/bundle.mjs: to look for package.json costs more than to load any of the
 * commands.
 */
declare const TRUNKLINE_VERSION: string

function version(): string {
  if (typeof TRUNKLINE_VERSION !== 'undefined') return TRUNKLINE_VERSION
  const found = createRequire(import.meta.url)('trunkline/package.json') as { version: string }
  return found.version
}

type Add = (program: Command, context: Context) => void

/**
 * The commands, in the order of the help. Each is loaded when it is the one that was asked for, so
 * none costs the others anything.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Add>>> = {
  serve: async () => (await import('./commands/serve.ts')).addServe,
  ls: async () => (await import('./commands/ls.ts')).addLs,
  cat: async () => (await import('./commands/cat.ts')).addCat,
  stat: async () => (await import('./commands/stat.ts')).addStat,
  mkdir: async () => (await import('./commands/mkdir.ts')).addMkdir,
  rm: async () => (await import('./commands/rm.ts')).addRm,
  mv: async () => (await import('./commands/mv.ts')).addMv,
  cp: async () => (await import('./commands/cp.ts')).addCp,
  exec: async () => (await import('./commands/exec.ts')).addExec,
  shell: async () => (await import('./commands/shell.ts')).addShell,
  ps: async () => (await import('./commands/ps.ts')).addPs,
  attach: async () => (await import('./commands/attach.ts')).addAttach,
  logs: async () => (await import('./commands/logs.ts')).addLogs,
  wait: async () => (await import('./commands/attach.ts')).addWait,
  kill: async () => (await import('./commands/kill.ts')).addKill,
  forget: async () => (await import('./commands/kill.ts')).addForget,
  forward: async () => (await import('./commands/forward.ts')).addForward,
  ping: async () => (await import('./commands/ping.ts')).addPing,
  status: async () => (await import('./commands/status.ts')).addStatus,
  doctor: async () => (await import('./commands/doctor.ts')).addDoctor,
  bench: async () => (await import('./commands/bench.ts')).addBench,
  peers: async () => (await import('./commands/peers.ts')).addPeers,
  demo: async () => (await import('./commands/demo.ts')).addDemo,
}

/**
 * The program with its commands, each bound to `context`.
 * @param print takes the help and the version, where they are asked for
 * @param word the first argument; where it is a command's name, the program has no other command
 */
export async function createProgram(context: Context, print: (text: string) => void, word = ''): Promise<Command> {
  const program = new Command('trunkline')
  program
    .description('Many pipes over one line. The peer is --to ADDRESS or NAME; its paths start with a colon.')
    .version(version(), VERSION, 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .usage('COMMAND [options] [arguments] | COMMAND --help | --version')
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
  const asked = word === VERSION ? [] : Object.values(COMMANDS)
  const loaders = Object.hasOwn(COMMANDS, word) ? [COMMANDS[word]] : asked
  for (const load of loaders) (await load?.())?.(program, context)
  // After the commands, which have their own options to show: here the footer says it in less room.
  program.configureHelp({
    helpWidth: HELP_WIDTH,
    subcommandTerm: (command) => command.name(),
    visibleOptions: () => [],
  })
  return program
}
