/**
 * A web server behind a forwarded port, under load: `trunkline forward -L` against `ssh -L` and
 * against no tunnel at all.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { BINARY } from '../../helpers/command-line.ts'
import { freePort } from '../../helpers/loopback.ts'
import { installed } from '../../helpers/installed.ts'
import { daemon, type Daemon } from './daemon.ts'
import { cpuOf } from './meter.ts'
import { inRounds, markdown, median, type Contender } from './rounds.ts'
import { startNginx, startSsh, startStreamProxy, startTrunkline } from './servers.ts'

/** How long, and how often. */
export interface ForwardPlan {
  readonly rounds: number
  readonly seconds: number
  readonly folder: string
}

/** What wrk said, and what the tunnel's two processes needed for it. */
interface Load {
  readonly requestsPerSecond: number
  readonly p99Ms: number
  /** Of both ends of the tunnel; 0 without one. */
  readonly cpuMicrosPerRequest: number
}

interface Way {
  readonly name: string
  readonly port: number
  readonly servers: readonly Daemon[]
}

const PAGES = { small: 1024, large: 64 * 1024 } as const
const CONNECTIONS = 50
const KINDS = [
  { name: 'connections kept', path: 'small', headers: [] },
  { name: 'connections kept, larger pages', path: 'large', headers: [] },
  { name: 'a connection for each request', path: 'small', headers: ['-H', 'Connection: close'] },
] as const

/** Measures and prints both tables; gives every figure. */
export async function measureForwards({ rounds, seconds, folder }: ForwardPlan): Promise<Record<string, unknown>> {
  const { wrk, ssh } = installed({ wrk: 'wrk', ssh: 'openssh-client' })
  const web = await startNginx(folder, PAGES)
  const ways = [
    { name: 'no tunnel', port: web.at, servers: [] },
    await throughProxiesInC(folder, web.at),
    await throughProxies(web.at),
    await throughTrunkline(folder, web.at),
    await throughSsh(ssh, folder, web.at),
  ]
  const all: Record<string, unknown> = {}
  try {
    for (const kind of KINDS) {
      const contenders = ways.map((way): Contender<Load> => ({
        name: way.name,
        run: async () => loadOf(wrk, way, seconds, kind),
      }))
      const results = await inRounds(`forward, ${kind.name}`, rounds, contenders)
      all[kind.name] = Object.fromEntries(results)
      const middle = (loads: readonly Load[], field: keyof Load): number => median(loads.map((load) => load[field]))
      const least = middle(results.get('ssh -L') ?? [], 'requestsPerSecond')
      const rows = [...results].map(([name, loads]) => [
        name,
        middle(loads, 'requestsPerSecond').toFixed(0),
        (middle(loads, 'requestsPerSecond') / least).toFixed(2),
        middle(loads, 'p99Ms').toFixed(1),
        middle(loads, 'cpuMicrosPerRequest').toFixed(0),
      ])
      console.log(`\nforward, ${kind.name}: ${CONNECTIONS} at a time, ${PAGES[kind.path]} bytes\n`)
      console.log(markdown(['', 'requests/s', 'of ssh -L', 'p99 ms', 'CPU µs a request'], rows))
    }
  } finally {
    for (const { servers } of ways) for (const server of servers) await server.stop()
    await web.server.stop()
  }
  return all
}

/** Two plain proxies on Node in a row: the least that two ends on Node cost. */
async function throughProxies(to: number): Promise<Way> {
  const proxy = fileURLToPath(new URL('proxy.ts', import.meta.url))
  const [near, far] = [await freePort(), await freePort()]
  const servers = []
  for (const [at, target] of [
    [far, to],
    [near, far],
  ] as const) {
    servers.push(await daemon([process.execPath, '--import', 'tsx', proxy, String(at), String(target)], at))
  }
  return { name: 'two plain proxies on Node', port: near, servers }
}

/** The same in C: the most that any tunnel of two processes could do on this machine. */
async function throughProxiesInC(folder: string, to: number): Promise<Way> {
  const far = await startStreamProxy(folder, 'far', to)
  const near = await startStreamProxy(folder, 'near', far.at)
  return { name: 'two proxies in C', port: near.at, servers: [near.server, far.server] }
}

async function throughTrunkline(folder: string, to: number): Promise<Way> {
  const { server, at } = await startTrunkline('tcp', folder, '--connect', `127.0.0.1:${to}`)
  const port = await freePort()
  const forward = ['forward', '--to', at, '-L', `${port}:127.0.0.1:${to}`]
  const client = await daemon([process.execPath, BINARY, ...forward], port)
  return { name: 'trunkline forward -L', port, servers: [client, server] }
}

async function throughSsh(ssh: string, folder: string, to: number): Promise<Way> {
  const { server, at } = await startSsh(folder)
  const port = await freePort()
  const forward = ['-N', '-o', 'ExitOnForwardFailure=yes', '-L', `127.0.0.1:${port}:127.0.0.1:${to}`]
  const client = await daemon([ssh, ...at.options, '-p', String(at.port), ...forward, at.host], port)
  return { name: 'ssh -L', port, servers: [client, server] }
}

function loadOf(wrk: string, { name, port, servers }: Way, seconds: number, kind: (typeof KINDS)[number]): Load {
  const pids = servers.map(({ pid }) => pid)
  const before = cpuOf(pids)
  const args = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, '--latency', ...kind.headers]
  const said = execFileSync(wrk, [...args, `http://127.0.0.1:${port}/${kind.path}`]).toString()
  const cpuSeconds = cpuOf(pids) - before
  if (/Socket errors|Non-2xx/.test(said)) throw new Error(`${name}: requests failed\n${said}`)
  const requests = Number(/(\d+) requests in/.exec(said)?.[1])
  const requestsPerSecond = Number(/Requests\/sec: +([\d.]+)/.exec(said)?.[1])
  return { requestsPerSecond, p99Ms: p99Of(said), cpuMicrosPerRequest: (cpuSeconds * 1e6) / requests }
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

function p99Of(said: string): number {
  const [, number = '', unit = ''] = /99% +([\d.]+)(us|ms|s)/.exec(said) ?? []
  return Number(number) * (UNITS[unit] ?? Number.NaN)
}
