/** The demo's host: does what a user would do by hand, measures it, and proves it with hashes. */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { download, filesystemClient, upload, type FilesystemClient } from '../../../protocols/filesystem.ts'
import { forwardLocal } from '../../../protocols/forward/index.ts'
import { connect, TrunkError, type Trunk } from '../../index.ts'
import type { Context } from '../context.ts'
import { formatBytes } from '../format.ts'
import { PAGE, startGuest, type GuestReady } from './guest.ts'
import { printByHand, printHead, printStep, type Step } from './report.ts'

const BIG_FILE = 'big.bin'
const BIG_BYTES = 64 * 1024 * 1024
const PIECE_BYTES = 4 * 1024 * 1024
const [SMALL_FILES, FOLDERS] = [199, 10]
/**
 * Each bulk read is measured this often, in turns; the best counts: a busy machine matters less.
 */
const ROUNDS = 3
/** From here on a difference is the machine's noise. */
const NOT_SLOWED_PERCENT = 95

/** Runs the whole demo. */
export async function runDemo(context: Context): Promise<void> {
  const { signal, temporaries } = context
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'trunkline-demo-'))
  const trash = Buffer.from(folder)
  temporaries.add(trash)
  const token = randomBytes(32).toString('hex')
  const guest = startGuest(folder, token)
  const gone = new AbortController()
  const exited = once(guest, 'exit').then(() => gone.abort())
  const hear = { signal: AbortSignal.any([signal, gone.signal]) }
  try {
    const [{ address, port }] = (await once(guest, 'message', hear)) as [GuestReady]
    await printHead(context, guest.pid, address)
    await using trunk = await connect(address, { token, name: 'demo host', signal })
    const files = filesystemClient(trunk)
    await step(context, { what: 'round trip' }, () => trunk.ping())
    await copyBothWays(context, files, folder)
    const page = { amount: formatBytes(PAGE.length), note: 'HTTP 200' }
    await step(context, { what: 'fetch a web page through a forward', ...page }, () => fetchPage(trunk, port, signal))
    await bulkBesideSlowReader(context, files)
    const last = once(guest, 'message', hear) as Promise<[number]>
    guest.send('finish')
    const [[guests], ours] = [await last, process.resourceUsage().maxRSS * 1024]
    const amount = `guest ${formatBytes(guests)}, host ${formatBytes(ours)}`
    await printStep(context, { what: 'memory, at most', amount })
    await printByHand(context)
  } catch (error) {
    signal.throwIfAborted()
    throw gone.signal.aborted ? new TrunkError('ERR_LINK_LOST', 'the guest has ended before its time') : error
  } finally {
    // the channel's end is what it waits for
    if (guest.connected) guest.disconnect()
    await exited
    await rm(folder, { recursive: true, force: true })
    temporaries.delete(trash)
  }
}

/** Runs a step and prints its row; one that gives a number has measured its milliseconds. */
async function step(context: Context, row: Step, run: () => Promise<unknown>): Promise<void> {
  context.signal.throwIfAborted()
  const start = performance.now()
  const measured = await run()
  const milliseconds = typeof measured === 'number' ? measured : performance.now() - start
  await printStep(context, { ...row, milliseconds })
}

/** A tree of random bytes: many small files and a large one. */
async function makeTree(root: string, signal: AbortSignal): Promise<Map<string, number>> {
  const files = new Map([[BIG_FILE, BIG_BYTES]])
  for (let i = 0; i < SMALL_FILES; i += 1) files.set(`part-${i % FOLDERS}/file-${i}.bin`, randomInt(1024, 64 * 1024))
  for (let i = 0; i < FOLDERS; i += 1) await mkdir(join(root, `part-${i}`), { recursive: true })
  for (const [path, bytes] of files) {
    for (let left = bytes; left > 0; left -= PIECE_BYTES)
      await appendFile(join(root, path), randomBytes(Math.min(left, PIECE_BYTES)))
    signal.throwIfAborted()
  }
  return files
}

async function copyBothWays(context: Context, files: FilesystemClient, folder: string): Promise<void> {
  const { signal } = context
  const [tree, copy] = [join(folder, 'tree'), join(folder, 'copy')]
  const all = await makeTree(tree, signal)
  const bytes = [...all.values()].reduce((sum, size) => sum + size, 0)
  const row = { amount: `${all.size} files, ${formatBytes(bytes)}`, bytes }
  await step(context, { what: 'copy a tree to the guest', ...row }, () => upload(files, tree, 'tree', { signal }))
  await step(context, { what: 'copy it back', ...row }, () => download(files, 'tree', copy, { signal }))
  const compared = { what: 'compare SHA-256: here, guest, copy', amount: `3 × ${all.size} hashes`, note: 'all equal' }
  await step(context, compared, async () => {
    for (const path of all.keys()) {
      const guest = await files.sha256(`tree/${path}`, { signal })
      for (const root of [tree, copy]) {
        const here = createHash('sha256')
        await pipeline(createReadStream(join(root, path)), here, { signal })
        if (Buffer.compare(here.digest(), guest) !== 0) throw new TrunkError('ERR_IO', `${path} differs`)
      }
    }
  })
}

async function fetchPage(trunk: Trunk, port: number, signal: AbortSignal): Promise<void> {
  await using forward = await forwardLocal(trunk, { listen: { port: 0 }, to: { host: '127.0.0.1', port } })
  const url = `http://${forward.address.host}:${forward.address.port}/`
  const [response] = (await once(get(url, { agent: false, signal }), 'response')) as [IncomingMessage]
  if (response.statusCode !== 200 || Buffer.concat(await response.toArray()).toString() !== PAGE)
    throw new TrunkError('ERR_IO', 'the page came through changed')
}

/** One pipe that nobody reads on does not hold up another one. */
async function bulkBesideSlowReader(context: Context, files: FilesystemClient): Promise<void> {
  const read = () => files.read(`tree/${BIG_FILE}`, { signal: context.signal })
  const readAll = async (): Promise<number> => {
    const start = performance.now()
    let bytes = 0
    for await (const chunk of read()) bytes += chunk.byteLength
    if (bytes !== BIG_BYTES) throw new TrunkError('ERR_IO', `read ${bytes} bytes of ${BIG_BYTES}`)
    return performance.now() - start
  }
  let [alone, beside, slowBytes] = [Infinity, Infinity, 0]
  await readAll() // warms up: the first read of all is slower, and would flatter the second
  for (let round = 0; round < ROUNDS; round += 1) {
    alone = Math.min(alone, await readAll())
    const slow = read()
    slowBytes = (await slow.next()).value?.byteLength ?? 0
    beside = Math.min(beside, await readAll())
    await slow.return()
  }
  const big = { amount: formatBytes(BIG_BYTES), bytes: BIG_BYTES }
  const percent = Math.round((alone / beside) * 100)
  const note = percent >= NOT_SLOWED_PERCENT ? 'not slowed' : `${percent} % of alone`
  await printStep(context, { what: 'bulk read, alone', ...big, milliseconds: alone })
  await printStep(context, { what: 'bulk read, beside a slow reader', ...big, milliseconds: beside, note })
  const waited = { amount: formatBytes(slowBytes), note: 'the rest waited' }
  await printStep(context, { what: 'the slow reader meanwhile', ...waited })
}
