/**
 * Real work, measured: what people do with trunkline today with other programs, on this machine, in
 * one run, in rounds that take turns. Both sides' processor time counts. Run it after
 * `npm run build`:
 *
 * node --import tsx test/bench/real-work/main.ts [--only file,tree,forward,serial,sharing]
 * [--rounds N] [--size BYTES] [--files N] [--seconds N] [--folder DIR] [--json FILE]
 *
 * Needs Linux and, for what trunkline is compared with, Debian's openssh-server, openssh-client,
 * rsync, wrk and nginx-light. Everything is on loopback and in a folder of its own, which is
 * removed: below /dev/shm (memory) where that is there, so that no disk is measured.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureCopies } from './copying.ts'
import { measureForwards } from './forwarding.ts'
import { measureSerial } from './serial-line.ts'
import { measureSharing } from './sharing.ts'

const PARTS = ['file', 'tree', 'forward', 'serial', 'sharing'] as const

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: PARTS.join(',') },
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: String(4 * 1024 ** 3) },
    files: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '5' },
    folder: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
    json: { type: 'string' },
  },
})

const parts = values.only.split(',')
const unknown = parts.filter((part) => !PARTS.some((known) => known === part))
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${PARTS.join(', ')}`)
const rounds = Number(values.rounds)
const folder = mkdtempSync(join(values.folder, 'tl-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

const results: Record<string, unknown> = {}
if (parts.includes('file') || parts.includes('tree')) {
  const plan = { rounds, fileBytes: Number(values.size), files: Number(values.files), folder }
  results['copying'] = await measureCopies(plan, parts)
}
if (parts.includes('forward')) {
  // its own: there are keys of the copies' OpenSSH in the other one
  const own = mkdtempSync(join(folder, 'forward-'))
  results['forwarding'] = await measureForwards({ rounds, seconds: Number(values.seconds), folder: own })
}
if (parts.includes('serial')) results['serial'] = await measureSerial()
if (parts.includes('sharing')) {
  results['sharing'] = await measureSharing({ rounds, folder: mkdtempSync(join(folder, 'sharing-')) })
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`)
process.exit(0)
