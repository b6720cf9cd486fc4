/**
 * The demo's host: does through one trunk what a user would do by hand, measures it, and proves it
 * with hashes.
 */
import { get } from 'node:http'
import { join } from 'node:path'
import { download, filesystemClient, upload } from '../../../protocols/filesystem.ts'
import { forwardLocal } from '../../../protocols/forward/index.ts'
import { TrunkError } from '../../contracts/errors.ts'
import { connect } from '../../index.ts'
import type { Trunk } from '../../index.ts'
import { pause } from '../context.ts'
import type { Context } from '../context.ts'
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import { formatBytes } from '../format.ts'
import { tellParent } from './child.ts'
import { PAGE } from './guest.ts'
import type { HostPlan, Step } from './messages.ts'
import { BIG_BYTES, BIG_FILE, hashFile } from './tree.ts'

/** Where the tree goes at the guest. */
const REMOTE_TREE = 'tree'
const PINGS = 20
/**
 * Each of the two bulk reads is measured this often, in turns; the best of each counts, so that a
 * busy machine matters less.
 */
const ROUNDS = 3
/** From here on a difference is the machine's noise. */
const NOT_SLOWED_PERCENT = 95
/** The slow reader takes what has arrived, then rests this long. */
const SLOW_READER_PAUSE_MS = 100

/** Does everything, telling the parent step by step. */
export async function runHost(context: Context, plan: HostPlan): Promise<void> {
  const { address, token, files: tree } = plan
  const { signal } = context
  await using trunk = await connect(address, { token, name: 'demo host', signal })
  const files = filesystemClient(trunk)
  const bytes = tree.reduce((sum, file) => sum + file.bytes, 0)
  const amount = `${tree.length} files, ${formatBytes(bytes)}`
  await step('round trip', () => ping(trunk))
  await step('copy a tree to the guest', async () => {
    await upload(files, plan.tree, REMOTE_TREE, { signal })
    return { amount, bytes }
  })
  await step('copy it back', async () => {
    await download(files, REMOTE_TREE, plan.copy, { signal })
    return { amount, bytes }
  })
  await step('compare SHA-256: here, guest, copy', () => compare(files, plan))
  await step('fetch a web page through a forward', () => fetchPage(trunk, plan.httpPort))
  await bulkBesideSlowReader(context, files)
}

type Outcome = Omit<Step, 'type' | 'what'>

async function step(what: string, run: () => Promise<Outcome>): Promise<void> {
  const start = performance.now()
  const outcome = await run()
  await tellParent({ type: 'step', what, milliseconds: performance.now() - start, ...outcome })
}

async function ping(trunk: Trunk): Promise<Outcome> {
  let least = Infinity
  for (let i = 0; i < PINGS; i += 1) least = Math.min(least, await trunk.ping())
  return { amount: `best of ${PINGS}`, milliseconds: least }
}

async function compare(files: FilesystemClient, plan: HostPlan): Promise<Outcome> {
  const tree = plan.files
  for (const { path } of tree) {
    const [here, guest, back] = await Promise.all([
      hashFile(join(plan.tree, path)),
      files.sha256(`${REMOTE_TREE}/${path}`),
      hashFile(join(plan.copy, path)),
    ])
    const there = Buffer.from(guest).toString('hex')
    if (here !== there || here !== back) throw new TrunkError('ERR_IO', `${path} differs: ${here} ${there} ${back}`)
  }
  return { amount: `3 × ${tree.length} hashes`, note: 'all equal' }
}

async function fetchPage(trunk: Trunk, httpPort: number): Promise<Outcome> {
  await using forward = await forwardLocal(trunk, { listen: { port: 0 }, to: { host: '127.0.0.1', port: httpPort } })
  const start = performance.now()
  const page = await httpGet(`http://${forward.address.host}:${forward.address.port}/`)
  if (page !== PAGE) throw new TrunkError('ERR_IO', 'the page came through changed')
  return { amount: formatBytes(page.length), milliseconds: performance.now() - start, note: 'HTTP 200' }
}

function httpGet(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString())
        else reject(new TrunkError('ERR_IO', `the web server answered ${response.statusCode ?? 0}`))
      })
    })
    request.on('error', reject)
  })
}

async function readBig(files: FilesystemClient): Promise<number> {
  const start = performance.now()
  let bytes = 0
  for await (const chunk of files.read(`${REMOTE_TREE}/${BIG_FILE}`)) bytes += chunk.byteLength
  if (bytes !== BIG_BYTES) throw new TrunkError('ERR_IO', `read ${bytes} bytes of ${BIG_BYTES}`)
  return performance.now() - start
}

async function bulkBesideSlowReader(context: Context, files: FilesystemClient): Promise<void> {
  let alone = Infinity
  let beside = Infinity
  let slowBytes = 0
  await readBig(files) // warms up: the first read of all is slower, and would flatter the second
  for (let round = 0; round < ROUNDS; round += 1) {
    alone = Math.min(alone, await readBig(files))
    const stop = new AbortController()
    const slow = readSlowly(context, files, stop.signal)
    await slow.started
    beside = Math.min(beside, await readBig(files))
    stop.abort()
    slowBytes = Math.max(slowBytes, await slow.ended)
  }
  const amount = formatBytes(BIG_BYTES)
  await tellParent({ type: 'step', what: 'bulk read, alone', amount, milliseconds: alone, bytes: BIG_BYTES })
  const percent = Math.round((alone / beside) * 100)
  const note = percent >= NOT_SLOWED_PERCENT ? 'not slowed' : `${percent} % of alone`
  await tellParent({
    type: 'step',
    what: 'bulk read, beside a slow reader',
    amount,
    milliseconds: beside,
    bytes: BIG_BYTES,
    note,
  })
  await tellParent({
    type: 'step',
    what: 'the slow reader meanwhile',
    amount: formatBytes(slowBytes),
    note: 'the rest waited',
  })
}

function readSlowly(
  context: Context,
  files: FilesystemClient,
  stop: AbortSignal,
): { readonly started: Promise<void>; readonly ended: Promise<number> } {
  let start: () => void = () => undefined
  const started = new Promise<void>((resolve) => (start = resolve))
  const read = async (): Promise<number> => {
    let bytes = 0
    for await (const chunk of files.read(`${REMOTE_TREE}/${BIG_FILE}`)) {
      bytes += chunk.byteLength
      start()
      await Promise.race([pause(context, SLOW_READER_PAUSE_MS), aborted(stop)])
      if (stop.aborted) break
    }
    return bytes
  }
  const ended = read()
  // Who waits for the start is told of a failure at the end.
  ended.catch(() => undefined).finally(start)
  return { started, ended }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
