/** `trunkline ping`: is there a peer, and how far away is it? */
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { pause } from '../context.ts'
import { formatDuration } from '../format.ts'
import { addPeerArgument, addPeerOptions, withPeer, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { printable, printableJson } from '../../runtime/printable.ts'

interface PingOptions extends PeerOptions {
  count: number
  interval: number
  json?: boolean
}

const MAX_COUNT = 100_000
const MAX_INTERVAL_SECONDS = 86_400

function parseCount(text: string): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && count >= 1 && count <= MAX_COUNT) return count
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_COUNT}.`)
}

function parseInterval(text: string): number {
  const seconds = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && seconds <= MAX_INTERVAL_SECONDS) return seconds
  throw new InvalidArgumentError(`It must be seconds from 0 to ${MAX_INTERVAL_SECONDS}.`)
}

/** Adds the command. */
export function addPing(program: Command, context: Context): void {
  const command = program
    .command('ping')
    .summary('measure the round trip to the peer')
    .description('Measure the round trip to the peer, through the session.')
    .option('-c, --count <n>', 'how many times', parseCount, 4)
    .option('-i, --interval <seconds>', 'time between two', parseInterval, 1)
    .option('--json', 'the result as one JSON object')
    .addHelpText('after', '\nExample:\n  $ trunkline ping @vm1 -c 10')
  addPeerOptions(addPeerArgument(command)).action((peer: string | undefined, options: PingOptions) =>
    ping(context, withPeer(options, peer)),
  )
}

async function ping(context: Context, options: PingOptions): Promise<void> {
  await withTrunk(context, options, async (trunk) => {
    const { address, peer } = trunk.status()
    const json = options.json === true
    const times: number[] = []
    try {
      for (let i = 0; i < options.count; i += 1) {
        if (i > 0) await pause(context, options.interval * 1000)
        const milliseconds = await trunk.ping({ signal: context.signal })
        times.push(milliseconds)
        if (!json)
          await context.stdout.line(`pong from ${printable(peer.name)} at ${address}: ${formatDuration(milliseconds)}`)
      }
    } finally {
      // However it ends: an interrupted one has measured something, too.
      if (times.length > 0) await summarise(context, address, times, json)
    }
  })
}

async function summarise(context: Context, address: string, times: readonly number[], json: boolean): Promise<void> {
  const minMs = times.reduce((least, ms) => Math.min(least, ms))
  const maxMs = times.reduce((most, ms) => Math.max(most, ms))
  const averageMs = times.reduce((sum, ms) => sum + ms, 0) / times.length
  if (json) await context.stdout.line(printableJson({ address, count: times.length, minMs, averageMs, maxMs, times }))
  else {
    const [least, mean, most] = [minMs, averageMs, maxMs].map(formatDuration)
    await context.stdout.line(`${times.length} round trips, shortest ${least}, average ${mean}, longest ${most}`)
  }
}
