/**
 * A serial line of 115,200 baud, a pair of pseudo-terminals held to that rate: how much of it the
 * payload of bulk has, and how long a small message takes beside it. On a loaded machine the
 * program that holds the rate falls behind it, so each share is also told of what bare bytes
 * reached right before.
 */
import { performance } from 'node:perf_hooks'
import { bench, benchClient } from '../../../protocols/bench.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { connect, DEFAULT_LIMITS, serve, type Link, type Pipe, type Trunk } from '../../../src/index.ts'
import { serial } from '../../../transports/serial.ts'
import { echo } from '../../helpers/protocols.ts'
import { ptyPair, type PtyPair } from '../../helpers/pty.ts'
import { markdown, median } from './rounds.ts'

const BAUD = 115_200
/** A start bit and a stop bit around each byte. */
const BYTES_PER_SECOND = BAUD / 10
/** Long enough that the start, when the window has to grow first, weighs little. */
const SECONDS = 20
const MESSAGE_BYTES = 32

/** One direction of bulk. */
interface Share {
  /** Of the line's nominal rate. */
  readonly payloadShare: number
  /** What the link below trunkline carried of it: payload and all that goes with it. */
  readonly wireShare: number
  /** What bare bytes had of it, without trunkline. */
  readonly bareShare: number
  /** Milliseconds of each message's way there and back, beside the bulk. */
  readonly messageMs: readonly number[]
}

/** Measures and prints the table; gives every figure. */
export async function measureSerial(): Promise<Record<string, Share>> {
  const line = await ptyPair({ rate: BYTES_PER_SECOND })
  const shares: Record<string, Share> = {}
  try {
    for (const direction of ['read', 'write'] as const) {
      process.stderr.write(`serial, ${direction}, ${3 * SECONDS} s\n`)
      const bareShare = await bareShareOf(line)
      shares[direction] = { bareShare, ...(await overTrunk(line, direction)) }
    }
  } finally {
    await line.close()
  }
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
  const rows = Object.entries(shares).map(([direction, { payloadShare, wireShare, bareShare, messageMs }]) => [
    direction === 'read' ? 'from the peer' : 'to the peer',
    percent(payloadShare),
    percent(payloadShare / bareShare),
    percent(payloadShare / wireShare),
    median(messageMs).toFixed(0),
    Math.max(...messageMs).toFixed(0),
    String(messageMs.length),
  ])
  const heads = [
    'of the line',
    'of what bare bytes had',
    'of what was sent',
    '32 bytes beside it, median ms',
    'longest ms',
  ]
  console.log(`\nserial, ${BAUD} baud: the share of payload in bulk\n`)
  console.log(markdown(['bulk', ...heads, 'messages'], rows))
  return shares
}

/** The share is measured alone; then again with messages beside it, which take some of the line. */
async function overTrunk(line: PtyPair, direction: 'read' | 'write'): Promise<Omit<Share, 'bareShare'>> {
  const server = await serve(`serial://${line.far}?baud=${BAUD}`, { protocols: [bench(), echo] })
  const trunk = await connect(`serial://${line.near}?baud=${BAUD}`)
  try {
    const counter = direction === 'read' ? 'bytesRead' : 'bytesWritten'
    const before = { at: performance.now(), bytes: trunk.status()[counter] }
    const { bytesPerSecond } = await benchClient(trunk).measure({ direction, seconds: SECONDS })
    const wire = rateSince(trunk, counter, before)
    const over = new AbortController()
    const messages = timesOfMessages(await trunk.open('echo'), over.signal)
    await benchClient(trunk).measure({ direction, seconds: SECONDS })
    over.abort()
    const shareOf = (rate: number): number => rate / BYTES_PER_SECOND
    return { payloadShare: shareOf(bytesPerSecond), wireShare: shareOf(wire), messageMs: await messages }
  } finally {
    await trunk.close()
    await server.close()
  }
}

function rateSince(
  trunk: Trunk,
  counter: 'bytesRead' | 'bytesWritten',
  before: { readonly at: number; readonly bytes: number },
): number {
  return ((trunk.status()[counter] - before.bytes) * 1000) / (performance.now() - before.at)
}

/**
 * Bytes that mean nothing, as many as the line takes, from the transport of one end to that of the
 * other.
 */
async function bareShareOf(line: PtyPair): Promise<number> {
  const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }
  const open = (path: string): Promise<Link> => serial(`serial://${path}?baud=${BAUD}`).connect(options)
  const near = await open(line.near)
  const far = await open(line.far)
  const enough = new Error('it was measured')
  const chunk = new Uint8Array(1024)
  const sending = near.sink(
    (async function* () {
      for (;;) yield chunk
    })(),
  )
  sending.catch(() => undefined) // it ends with the abort below
  let started = 0
  let bytes = 0
  for await (const arrived of far.source) {
    if (started === 0) started = performance.now()
    else bytes += arrived.byteLength
    if (performance.now() - started >= SECONDS * 1000) break
  }
  const share = (bytes * 1000) / (performance.now() - started) / BYTES_PER_SECOND
  for (const link of [near, far]) link.abort(enough)
  await Promise.all([near.close(), far.close()])
  return share
}

/** One message at a time, there and back, until the signal aborts. */
async function timesOfMessages(pipe: Pipe, over: AbortSignal): Promise<number[]> {
  const message = new Uint8Array(MESSAGE_BYTES)
  const times: number[] = []
  const arriving = pipe.source[Symbol.asyncIterator]()
  while (!over.aborted) {
    const sent = performance.now()
    await pipe.write(message)
    for (let left = MESSAGE_BYTES; left > 0;) left -= (await arriving.next()).value?.byteLength ?? left
    times.push(performance.now() - sent)
  }
  await pipe.closeWrite()
  await arriving.next()
  await pipe.close()
  return times
}
