/**
 * What one peer can take from another: 768 reads on 12 trunks that nobody takes, and 40 digests of
 * a sparse file, beside a trunk that asks for a `stat` again and again. All of it is told as ratios
 * to the same server in the same run, at rest.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { connect, type Trunk } from '../../../src/index.ts'
import { filesystemClient, type FilesystemClient } from '../../../protocols/filesystem.ts'
import { steady } from '../../helpers/eventually.ts'
import { markdown, median } from './rounds.ts'
import { startTrunkline } from './servers.ts'

const TRUNKS = 12
const READS = 64
const DIGESTS = 40
const STATS = 200
const SPARSE_BYTES = 2 ** 40
const MIB = 2 ** 20
/** `transferBytes` and `readAheadBytes` of the server: what the reads may have. */
const BUDGET_MIB = { transferBytes: 16, readAheadBytes: 32 }

/** What a greedy peer did to the server and to its neighbour. */
export interface Sharing {
  /** Bytes that the server has grown by, to what the budgets allow. */
  readonly held: number
  /**
   * The median `stat` of the other trunk, to the one at rest: beside the reads, and beside the
   * digests.
   */
  readonly besideReads: number
  readonly besideDigests: number
}

/** Measures and prints. */
export async function measureSharing({ rounds, folder }: { rounds: number; folder: string }): Promise<Sharing> {
  const fd = openSync(join(folder, 'sparse'), 'w')
  ftruncateSync(fd, SPARSE_BYTES)
  closeSync(fd)
  writeFileSync(join(folder, 'small'), 'small')
  const measured: Sharing[] = []
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`sharing, round ${round} of ${rounds}\n`)
    measured.push(await oneRound(folder))
  }
  const typical = (pick: (one: Sharing) => number): number => median(measured.map(pick))
  const result: Sharing = {
    held: typical(({ held }) => held),
    besideReads: typical(({ besideReads }) => besideReads),
    besideDigests: typical(({ besideDigests }) => besideDigests),
  }
  const rows = [
    [`${TRUNKS * READS} reads never taken: the server's memory, to its budgets`, result.held.toFixed(2)],
    ["· another trunk's `stat`, to the one at rest", result.besideReads.toFixed(2)],
    [
      `${DIGESTS} digests of a sparse file: another trunk's \`stat\`, to the one at rest`,
      result.besideDigests.toFixed(2),
    ],
  ]
  console.log(markdown(['what one peer takes from another', 'ratio'], rows))
  return result
}

async function oneRound(folder: string): Promise<Sharing> {
  const budgets = Object.entries(BUDGET_MIB).flatMap(([name, mib]) => ['--budget', `${name}=${mib}M`])
  const { server, at } = await startTrunkline('tcp', folder, '--fs', `${folder}:ro`, ...budgets)
  const trunks: Trunk[] = []
  const dial = async (): Promise<Trunk> => {
    const trunk = await connect(at)
    trunks.push(trunk)
    return trunk
  }
  try {
    const neighbour = filesystemClient(await dial())
    await statMs(neighbour) // the code is compiled, the file is known
    const rest = await statMs(neighbour)
    const digesting = filesystemClient(await dial())
    const enough = new AbortController()
    const digests = Array.from({ length: DIGESTS }, () => digesting.sha256('sparse', { signal: enough.signal }))
    const ended = Promise.allSettled(digests)
    const besideDigests = (await statMs(neighbour)) / rest
    enough.abort()
    await ended
    const before = residentBytes(server.pid)
    for (let one = 0; one < TRUNKS; one++) {
      const trunk = await dial()
      for (let read = 0; read < READS; read++) {
        // by hand: the client keeps to 48 at a time. A refusal is an answer as well
        trunk.open('filesystem', { op: 'read', path: Buffer.from('sparse'), offset: 0 }).catch(() => undefined)
      }
    }
    await steady(() => residentBytes(server.pid))
    const besideReads = (await statMs(neighbour)) / rest
    const budget = (BUDGET_MIB.transferBytes + BUDGET_MIB.readAheadBytes) * MIB
    return { held: (residentBytes(server.pid) - before) / budget, besideReads, besideDigests }
  } finally {
    for (const trunk of trunks) trunk.abort(new Error('enough'))
    await server.stop()
  }
}

/** The median of many, one after the other. */
async function statMs(files: FilesystemClient): Promise<number> {
  const times: number[] = []
  for (let one = 0; one < STATS; one++) {
    const from = performance.now()
    await files.stat('small')
    times.push(performance.now() - from)
  }
  return median(times)
}

function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  return Number(kib) * 1024
}
