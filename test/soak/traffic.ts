/**
 * What a client does over a trunk that may be lost at any moment: one small job after the other,
 * each checked to the last byte. A job may fail with a code that says what happened to the line; it
 * may never end well with bytes that are wrong or missing.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { filesystemClient } from '../../protocols/filesystem.ts'
import { tcpConnect } from '../../protocols/tcp-connection.ts'
import { connect, TrunkError, type Bytes, type Pipe, type Trunk } from '../../src/index.ts'
import { keyedReader } from '../helpers/keyed-stream.ts'
import { checkPattern, collect, pattern, patternChunks } from '../helpers/protocols.ts'
import type { Random } from '../sim/random.ts'

/** What happens to lines and peers that are killed and stopped. Any other code is a fault. */
const EXPECTED: ReadonlySet<string> = new Set([
  'ERR_LINK_LOST',
  'ERR_LINK_RESET',
  'ERR_LINK_FAILED',
  'ERR_FRAME_TRUNCATED',
  'ERR_SESSION_CLOSED',
  'ERR_SESSION_ABORTED',
  'ERR_KEEPALIVE_TIMEOUT',
  'ERR_WRITE_STALLED',
  'ERR_HELLO_TIMEOUT',
  'ERR_PEER_RESTARTED',
  'ERR_LINE_DAMAGED',
  'ERR_CLOSE_TIMEOUT',
  'ERR_CONNECT_REFUSED',
  'ERR_CONNECTION_RESET',
  'ERR_PIPE_RESET',
  'ERR_PIPE_CLOSED',
])

/** Where the jobs are done. */
export interface Workplace {
  readonly trunk: Trunk
  readonly address: string
  /** A TCP server on loopback that sends back what it gets. */
  readonly echoPort: number
  readonly random: Random
  /** Of the worker: no other one writes this file. */
  readonly fileName: string
}

type Job = (place: Workplace, bytes: number) => Promise<void>

/** By name; each is as likely as any other. */
const JOBS: Readonly<Record<string, Job>> = {
  async echo({ trunk, random }, bytes) {
    const pipe = await trunk.open('echo')
    await both(pipe, bytes, random.integer(1, 70_000))
    await pipe.close()
  },
  async download({ trunk, random }, bytes) {
    const key = random.integer(1, 2 ** 31)
    const pipe = await trunk.open('keyed', { key, bytes })
    const read = keyedReader(key)
    for await (const list of pipe.source) for (const chunk of list) read(chunk)
    assert.equal(read.bytes, bytes, 'a clean end with bytes missing')
    await pipe.close()
  },
  async halfClose({ trunk }, bytes) {
    const pipe = await trunk.open('count')
    await pipe.sink(patternChunks(bytes, 30_000))
    assert.equal(String(await collect(pipe.source)), String(bytes), 'the count after a half-close')
    await pipe.close()
  },
  async reset({ trunk, random }, bytes) {
    const pipe = await trunk.open('echo')
    const writing = pipe.sink(patternChunks(bytes, 10_000)).catch(expectAborted)
    if (random.chance(0.5)) await pipe.source.next().catch(expectAborted)
    pipe.abort(new TrunkError('ERR_ABORTED', 'the soak resets'))
    await writing
  },
  async stop({ trunk, random }, bytes) {
    const pipe = await trunk.open('keyed', { key: 1, bytes })
    const read = keyedReader(1)
    const enough = random.integer(1, bytes)
    for await (const list of pipe.source) {
      for (const chunk of list) read(chunk)
      if (read.bytes >= enough) break
    }
    pipe.abort(new TrunkError('ERR_ABORTED', 'the soak has read enough'))
  },
  async file({ trunk, random, fileName }, bytes) {
    const files = filesystemClient(trunk)
    const source = random.chance(0.5) ? pattern(bytes) : patternChunks(bytes, 50_000)
    await files.write(fileName, source, { durable: random.chance(0.1) })
    const digest = createHash('sha256').update(pattern(bytes)).digest('hex')
    assert.equal(Buffer.from(await files.sha256(fileName)).toString('hex'), digest, 'the digest of a file')
    assert.equal(await checkPattern(files.read(fileName)), bytes, 'a file that was read')
    if (random.chance(0.3)) await files.remove(fileName)
  },
  async forward({ trunk, echoPort, random }, bytes) {
    const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: echoPort })
    await both(pipe, bytes, random.integer(1, 70_000))
    await pipe.close()
  },
  async ping({ trunk }) {
    await trunk.ping()
  },
  async session({ address }) {
    // a serial line has room for one session only
    if (address.startsWith('serial:')) return
    const trunk = await connect(address)
    try {
      await trunk.ping()
    } finally {
      await trunk.close()
    }
  },
}

/** Writes and reads at the same time, and holds what comes back to what went. */
async function both(pipe: Pipe, bytes: number, chunkBytes: number): Promise<void> {
  const writing = pipe.sink(patternChunks(bytes, chunkBytes))
  // whichever fails first, both have an owner
  const [read, written] = await Promise.allSettled([checkPattern(pipe.source as AsyncIterable<Bytes>), writing])
  if (read.status === 'rejected') throw read.reason
  if (written.status === 'rejected') throw written.reason
  assert.equal(read.value, bytes, 'a clean end with bytes missing')
}

function expectAborted(error: unknown): void {
  if (!(error instanceof TrunkError)) throw error
}

/** How a job ended: `fault` is what must never be. */
export interface JobEnd {
  readonly name: string
  readonly outcome: string
  readonly fault: boolean
}

/** Does a job that `random` picks. Never rejects. */
export async function doJob(place: Workplace, maxBytes: number): Promise<JobEnd> {
  const name = place.random.pick(Object.keys(JOBS))
  const bytes = place.random.scale(1, maxBytes)
  try {
    await JOBS[name]!(place, bytes)
    return { name, outcome: 'done', fault: false }
  } catch (error) {
    if (error instanceof TrunkError && EXPECTED.has(error.code)) return { name, outcome: error.code, fault: false }
    return { name, outcome: `${bytes} bytes: ${String((error as Error).stack ?? error)}`, fault: true }
  }
}
