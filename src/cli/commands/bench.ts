/** `trunkline bench`: how far away is the peer, and how much does the line carry? */
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { TrunkError, type Trunk } from '../../index.ts'
import { measureRate, measureRoundTrips } from '../bench/measure.ts'
import type { RateOverTime, RoundTrips } from '../bench/measure.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatDuration, formatRate, sparkline } from '../format.ts'
import { addPeerArgument, addPeerOptions, withPeer, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

interface BenchCommandOptions extends PeerOptions {
  seconds: number
  json?: boolean
}

const DEFAULT_SECONDS = 3
/** What `serve --bench` allows one measurement. */
const MAX_SECONDS = 60
/** Of the time of a rate: round trips are many, and soon enough. */
const ROUND_TRIP_SHARE = 1 / 3

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= MAX_SECONDS) return seconds
  throw new InvalidArgumentError(`It must be seconds, more than 0 and at most ${MAX_SECONDS}.`)
}

/** Adds the command. */
export function addBench(program: Command, context: Context): void {
  const command = program
    .command('bench')
    .summary('measure the rate of the line, and the round trip')
    .description('Measure the rate of the line each way, and the round trip. The peer has to offer it: serve --bench.')

    .option('--seconds <n>', 'time for each way', parseSeconds, DEFAULT_SECONDS)
    .option('--json', 'the result as one JSON object')
    .addHelpText('after', '\nExample:\n  $ trunkline bench tcp://127.0.0.1:7000 --seconds 10')
  addPeerOptions(addPeerArgument(command)).action((peer: string | undefined, options: BenchCommandOptions) =>
    bench(context, withPeer(options, peer)),
  )
}

async function bench(context: Context, options: BenchCommandOptions): Promise<void> {
  const { stdout } = context
  const { seconds, json = false } = options
  const show = async (what: string, text: string): Promise<void> => {
    if (!json) await stdout.line(`${context.colors.dim(what.padEnd(LABEL_WIDTH))}  ${text}`)
  }
  await withTrunk(context, options, async (trunk) => {
    requireOffered(trunk)
    const { address, peer } = trunk.status()
    if (!json) await stdout.line(`${printable(peer.name)} at ${address}`)
    const roundTrip = await measureRoundTrips(context, trunk, seconds * ROUND_TRIP_SHARE)
    await show('round trip', `${describeRoundTrips(roundTrip)}, ${roundTrip.count} measured`)
    const read = await measureRate(context, trunk, 'read', seconds)
    await show('from the peer', describeRate(read))
    const write = await measureRate(context, trunk, 'write', seconds)
    await show('to the peer', describeRate(write))
    if (json) await stdout.line(printableJson({ address, peer: peer.name, seconds, roundTrip, read, write }))
  })
}

const LABEL_WIDTH = 'from the peer'.length

/** Said before anything is measured, and with what to do about it. */
function requireOffered(trunk: Trunk): void {
  if (trunk.status().peer.protocols.includes('bench')) return
  const sentence = 'the peer does not offer bench; trunkline serve --bench does'
  throw new TrunkError('ERR_PROTOCOL_UNKNOWN', sentence, { origin: 'remote' })
}

function describeRoundTrips({ medianMs, p99Ms }: RoundTrips): string {
  return `median ${formatDuration(medianMs)}, p99 ${formatDuration(p99Ms)}`
}

function describeRate({ bytes, milliseconds, samples, roundTrip }: RateOverTime): string {
  const rate = `${formatRate(bytes, milliseconds).padStart(10)}  ${sparkline(samples)}`
  const beside = roundTrip === undefined ? 'none came back' : describeRoundTrips(roundTrip)
  return `${rate}  ${formatBytes(bytes)} in ${formatDuration(milliseconds)}; round trip meanwhile: ${beside}`
}
