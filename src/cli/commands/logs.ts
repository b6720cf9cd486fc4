/** `trunkline logs`: what a command that the peer keeps has written. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { execClient, type CommandOutput } from '../../../protocols/exec.ts'
import { say } from '../context.ts'
import type { Context } from '../context.ts'
import { printed, toStandardError } from '../exec/streams.ts'
import { addNamesArgument, addPeerOptions, withPeerOfName, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

interface LogsOptions extends PeerOptions {
  follow?: boolean
  from?: number
  tail?: number
}

/** A number of bytes. */
export function parseOffset(text: string): number {
  const offset = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(offset)) return offset
  throw new InvalidArgumentError('It is a number of bytes.')
}

/** Adds the command. */
export function addLogs(program: Command, context: Context): void {
  const command = program
    .command('logs', { hidden: true })
    .summary('print what a kept command has written')
    .description('Print what a command that the peer keeps has written, as far as the peer has it.')
    .option('-f, --follow', 'go on with what it writes')
    .addOption(new Option('--from <offset>', 'from this byte of its standard output on').argParser(parseOffset))
    .addOption(new Option('--tail <bytes>', 'the last bytes of each output').argParser(parseOffset).conflicts('from'))
    .addHelpText('after', '\nExample:\n  $ trunkline logs -f build')
  addPeerOptions(addNamesArgument(command, '<name>')).action(async (words: string[], given: LogsOptions) => {
    const { options, name } = withPeerOfName(given, words)
    const { follow = false, from, tail } = options
    await withTrunk(context, options, async (trunk) => {
      const { stdout, stderr } = await execClient(trunk).logs(name, {
        follow,
        signal: context.signal,
        ...(from !== undefined && { from }),
        ...(tail !== undefined && { tailBytes: tail }),
      })
      if (tail === undefined) for (const output of [stdout, stderr]) sayDropped(context, output)
      await Promise.all([
        printed(stdout, (bytes) => context.stdout.write(bytes)),
        printed(stderr, (bytes) => toStandardError(context, bytes)),
      ])
    })
  })
}

function sayDropped(context: Context, output: CommandOutput | undefined): void {
  if (output !== undefined && output.dropped > 0)
    say(context, `trunkline: ${output.dropped} bytes before this were dropped`)
}
