/**
 * How long a command takes to start: user and system time of whole processes in times that of a
 * bare `node -e 0`, all in turns, so that whatever else the machine does meets all of them. Medians
 * of the rounds' ratios. Needs `npm run build` first, and bash, which tells times to the
 * millisecond.
 *
 * node --import tsx test/bench/start.ts [--rounds N] [--only NAME,...] [--command FILE]
 *
 * The Node that runs this is the one that is measured. `--command` is another trunkline.cjs.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const BUILT = fileURLToPath(new URL('../../dist/bin/trunkline.cjs', import.meta.url))
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '41' },
    only: { type: 'string' },
    command: { type: 'string', default: BUILT },
  },
})

const folder = mkdtempSync(join(tmpdir(), 'trunkline-start-'))
// a command's code is kept here; certificates of this machine's would make every Node slower
const { NODE_EXTRA_CA_CERTS: _certificates, NODE_OPTIONS: _options, ...others } = process.env
const env = { ...others, HOME: folder, XDG_CACHE_HOME: folder, NODE_DISABLE_COMPILE_CACHE: '' }
const socket = join(folder, 'socket')
for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), name)

/** Starts a server; gives its address and what ends it. */
async function serve(address: string): Promise<{ address: string; stop: () => void }> {
  const child = spawn(process.execPath, [values.command, 'serve', address, '--fs', folder], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { address: line.toString().trim().split(/\s/)[0] ?? '', stop: () => child.kill() }
}

const servers = [await serve(`unix://${socket}`), await serve('tcp://127.0.0.1:0')]
const [unix, tcp] = servers.map(({ address }) => address) as [string, string]
const connects = `require('node:net').connect(${JSON.stringify(socket)}).on('connect', function () { this.destroy() })`
const ROWS: Readonly<Record<string, readonly string[]>> = {
  'a bare Node': ['-e', '0'],
  'a program of one line that connects': ['-e', connects],
  '`trunkline --version`': [values.command, '--version'],
  '`ls` of a folder over a Unix socket': [values.command, 'ls', '--to', unix, ':/'],
  '`ls` of a folder over TCP': [values.command, 'ls', '--to', tcp, ':/'],
  '`ping -c 1` over a Unix socket': [values.command, 'ping', '-c', '1', '--to', unix],
  '`cp` of a small file from the peer': [values.command, 'cp', '--to', unix, ':/a', join(folder, 'copied')],
}

/** User and system time of a process, in milliseconds. */
function cpuTime(args: readonly string[]): number {
  const script = 'TIMEFORMAT="%3U %3S"; { time "$@" 2>/dev/null; } || exit 1'
  const { status, stderr } = spawnSync('bash', ['-c', script, 'bash', process.execPath, ...args], {
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`it failed: ${args.join(' ')}`)
  const [user = NaN, system = NaN] = stderr.trim().split(' ').map(Number)
  return (user + system) * 1000
}

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

const bare = 'a bare Node'
const rows = Object.entries(ROWS).filter(([name]) => {
  return name === bare || values.only === undefined || values.only.split(',').some((word) => name.includes(word))
})
const times = new Map<string, number[]>(rows.map(([name]) => [name, []]))
try {
  // twice for the code to be kept and taken
  for (let round = -2; round < Number(values.rounds); round += 1)
    for (const [name, args] of rows) {
      const time = cpuTime(args)
      if (round >= 0) times.get(name)?.push(time)
    }
} finally {
  for (const { stop } of servers) stop()
  rmSync(folder, { recursive: true, force: true })
}

const ofBare = times.get(bare) ?? []
console.log(`| Node ${process.versions.node}, medians of ${values.rounds} | times | ms |\n| --- | ---: | ---: |`)
for (const [name, list] of times) {
  const ratio = median(list.map((time, round) => time / (ofBare[round] ?? NaN)))
  console.log(`| ${name} | ${ratio.toFixed(2)} | ${median(list).toFixed(0)} |`)
}
