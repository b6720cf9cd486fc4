/** `trunkline status`: what the session with the peer has agreed on. */
import type { Command } from 'commander'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatDuration, formatTable } from '../format.ts'
import type { TrunkStatus } from '../../index.ts'
import { addPeerArgument, addPeerOptions, withPeer, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

/** Adds the command. */
export function addStatus(program: Command, context: Context): void {
  const command = program
    .command('status')
    .summary('show the peer, what it offers, and the line')
    .description('Show the peer, what it offers, the line and the round trip.')
    .option('--json', 'everything as one JSON object')
    .addHelpText('after', '\nExample:\n  $ trunkline status @vm1 --json')
  type StatusOptions = PeerOptions & { json?: boolean }
  addPeerOptions(addPeerArgument(command)).action(async (peer: string | undefined, options: StatusOptions) => {
    await withTrunk(context, withPeer(options, peer), async (trunk) => {
      await trunk.ping({ signal: context.signal })
      const status = trunk.status()
      await context.stdout.line(options.json === true ? printableJson(status) : describe(context, status))
    })
  })
}

function describe(context: Context, status: TrunkStatus): string {
  const { peer, transport } = status
  const offered = peer.protocols.length === 0 ? 'nothing' : peer.protocols.map(printable).join(', ')
  const { lossless, connected } = transport.traits
  const line = [
    transport.scheme,
    lossless ? 'lossless' : 'checked by CRC',
    connected ? 'connected' : 'no open or close',
  ]
  const roundTrip = status.roundTripMs === undefined ? 'not measured' : formatDuration(status.roundTripMs)
  const rows = [
    ['peer', `${printable(peer.name)}, epoch ${peer.epoch}`],
    ['address', status.address],
    ['offers', offered],
    ['line', line.join(', ')],
    ['wire', `version ${status.version}`],
    ['round trip', roundTrip],
    ['read', formatBytes(status.bytesRead)],
    ['written', formatBytes(status.bytesWritten)],
  ]
  for (const [name, count] of Object.entries(status.counters)) if (count > 0) rows.push([name, String(count)])
  const width = Math.max(...rows.map(([name = '']) => name.length))
  return formatTable(rows)
    .map((text) => context.colors.dim(text.slice(0, width)) + text.slice(width))
    .join('\n')
}
