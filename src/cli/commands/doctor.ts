/**
 * `trunkline doctor`: what is wrong with a line, if anything is, and what to do about it. See
 * src/cli/doctor/.
 */
import type { Command } from 'commander'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import type { Finding } from '../doctor/findings.ts'
import { EXIT, reportedFailure, usageError } from '../failure.ts'
import type { PeerOptions } from '../peer.ts'
import { readToken } from '../token-file.ts'

interface DoctorOptions extends Pick<PeerOptions, 'to' | 'tokenFile'> {
  json?: boolean
  here?: boolean
}

/** Adds the command. */
export function addDoctor(program: Command, context: Context): void {
  program
    .command('doctor')
    .summary('find out why a line does not work, and what to do')
    .description('Examine a line: the device or socket, permissions, the kernel, the peer, the rate.')
    .argument('[address]', 'the line to examine (default: the peer)')
    // Not those of the other commands: it waits for nothing, and says what is not there.
    .option('--to <address>', 'the peer (default: $TRUNKLINE_TO)')
    .option('--token-file <file>', 'file with the secret that both sides have')
    .option('--here', 'examine no line, but what this machine starts commands with')
    .option('--json', 'the findings as one JSON object')
    .addHelpText('after', '\nIt exits 0 when nothing is wrong and 1 when a problem was found.')
    .addHelpText('after', '\nExample:\n  $ trunkline doctor serial:///dev/virtio-ports/trunkline')
    .action((address: string | undefined, options: DoctorOptions) =>
      doctor(context, address ?? options.to ?? context.env['TRUNKLINE_TO'], options),
    )
}

async function doctor(context: Context, address: string | undefined, options: DoctorOptions): Promise<void> {
  if (options.here === true) {
    const { examineCommands } = await import('../doctor/commands.ts')
    await tell(context, 'this machine', options, examineCommands(context.signal))
    return
  }
  if (address === undefined || address === '') {
    throw usageError('which line? Give its ADDRESS, or set TRUNKLINE_TO')
  }
  // loaded here: every other command starts without them
  const { examine } = await import('../doctor/examine.ts')
  const token = await readToken(context, options.tokenFile)
  await tell(context, address, options, examine(context, address, token))
}

async function tell(
  context: Context,
  address: string,
  options: DoctorOptions,
  examined: AsyncIterable<Finding>,
): Promise<void> {
  const { linesOf, summaryOf } = await import('../doctor/findings.ts')
  const { stdout, colors } = context
  const findings: Finding[] = []
  for await (const finding of examined) {
    if (findings.length === 0 && options.json !== true) await stdout.line(printable(address))
    findings.push(finding)
    if (options.json !== true) await stdout.line(linesOf(finding, colors).join('\n'))
  }
  const problems = findings.filter(({ level }) => level === 'problem').length
  if (options.json === true) await stdout.line(printableJson({ address, healthy: problems === 0, findings }))
  else await stdout.line(summaryOf(findings, colors))
  if (problems > 0) throw reportedFailure(EXIT.failed)
}
