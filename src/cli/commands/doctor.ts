/**
 * `trunkline doctor`: what is wrong with a line, if anything is, and what to do about it. See
 * src/cli/doctor/.
 */
import type { Command } from 'commander'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import type { Finding } from '../doctor/findings.ts'
import { EXIT, reportedFailure } from '../failure.ts'
import { addAddressOptions, addPeerArgument, addressError, resolvePeer, withPeer } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { readToken } from '../token-file.ts'

interface DoctorOptions extends PeerOptions {
  json?: boolean
  here?: boolean
}

/** Adds the command. */
export function addDoctor(program: Command, context: Context): void {
  const command = program
    .command('doctor')
    .summary('find out why a line does not work, and what to do')
    .description('Examine a line: the device or socket, permissions, the kernel, the peer, the rate.')
    .option('--here', 'examine no line, but what this machine starts commands with')
    .option('--json', 'the findings as one JSON object')
    .addHelpText('after', '\nIt exits 0 when nothing is wrong and 1 when a problem was found.')
    .addHelpText('after', '\nExample:\n  $ trunkline doctor serial:///dev/virtio-ports/trunkline')
  // not `--wait`: it waits for nothing, and says what is not there
  addAddressOptions(addPeerArgument(command)).action((peer: string | undefined, options: DoctorOptions) =>
    doctor(context, withPeer(options, peer)),
  )
}

async function doctor(context: Context, options: DoctorOptions): Promise<void> {
  if (options.here === true) {
    const { examineCommands } = await import('../doctor/commands.ts')
    await tell(context, 'this machine', options, examineCommands(context.signal))
    return
  }
  const { address, name, tokenFile } = await resolvePeer(context, options)
  // loaded here: every other command starts without them
  const { examine } = await import('../doctor/examine.ts')
  const token = await readToken(context, tokenFile)
  try {
    await tell(context, address, options, examine(context, address, token))
  } catch (error) {
    throw await addressError(context, name, error, options)
  }
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
