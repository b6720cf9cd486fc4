/**
 * Copying one large file, and a tree of many small ones, there and back: `trunkline cp` against
 * OpenSSH's scp and sftp and against rsync.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BINARY } from '../../helpers/command-line.ts'
import { installed } from '../../helpers/installed.ts'
import { type Daemon } from './daemon.ts'
import { costOf, type Cost, type Work } from './meter.ts'
import { inRounds, markdown, typical, type Contender, type Results } from './rounds.ts'
import { startRsync, startSsh, startTrunkline } from './servers.ts'

/** What is copied, and how often. */
export interface CopyPlan {
  readonly rounds: number
  /** Bytes of the large file. */
  readonly fileBytes: number
  /** Files of the tree. */
  readonly files: number
  /** Where everything is: sources, targets, sockets and keys. */
  readonly folder: string
}

/** What is copied: the name in `from/`, and whether it is a tree. */
interface Subject {
  readonly name: string
  readonly isTree: boolean
}

/** The direction, as the one who types the command sees it. */
type Way = 'put' | 'get'

interface Tool {
  readonly name: string
  readonly server: Daemon
  work(way: Way, subject: Subject, from: string, to: string): Work
}

const MIB = 1024 * 1024
/** As in a tree of sources: 1 to 8 KiB, a hundred to a folder. */
const SMALL_BYTES = [1024, 2048, 4096, 8192] as const
const FILES_PER_FOLDER = 100

/** Measures and prints both tables; gives every figure. */
export async function measureCopies(plan: CopyPlan, subjects: readonly string[]): Promise<Record<string, unknown>> {
  const from = join(plan.folder, 'from')
  mkdirSync(from, { recursive: true })
  const tools = await startTools(plan.folder)
  const all: Record<string, unknown> = {}
  try {
    for (const subject of [
      { name: 'file', isTree: false },
      { name: 'tree', isTree: true },
    ]) {
      if (!subjects.includes(subject.name)) continue
      if (subject.isTree) makeTree(join(from, subject.name), plan.files)
      else makeFile(join(from, subject.name), plan.fileBytes)
      for (const way of ['put', 'get'] as const) {
        const contenders = tools.map((tool) => contender(tool, way, subject, plan.folder))
        const results = await inRounds(`${way} ${subject.name}`, plan.rounds, contenders)
        all[`${way} ${subject.name}`] = Object.fromEntries(results)
        console.log(`\n${titleOf(plan, way, subject)}\n\n${tableOf(results)}`)
      }
      rmSync(join(from, subject.name), { recursive: true })
    }
  } finally {
    for (const server of new Set(tools.map((tool) => tool.server))) await server.stop()
  }
  return all
}

function titleOf({ fileBytes, files }: CopyPlan, way: Way, { isTree }: Subject): string {
  const what = isTree ? `a tree of ${files} files` : `one file of ${Math.round(fileBytes / MIB)} MiB`
  return `${what}, ${way === 'put' ? 'to the peer' : 'from the peer'}`
}

function tableOf(results: Results<Cost>): string {
  const costs = [...results].map(([name, list]) => ({ name, ...typical(list) }))
  const [first] = costs
  if (first === undefined) return ''
  const rows = costs.map(({ name, seconds, cpuSeconds }) => [
    name,
    seconds.toFixed(2),
    cpuSeconds.toFixed(2),
    (seconds / first.seconds).toFixed(2),
    (cpuSeconds / first.cpuSeconds).toFixed(2),
  ])
  return markdown(['', 'wall s', 'CPU s', 'wall, of trunkline over TCP', 'CPU, of it'], rows)
}

async function startTools(folder: string): Promise<Tool[]> {
  const { scp, sftp, rsync, ssh } = installed({
    scp: 'openssh-client',
    sftp: 'openssh-client',
    ssh: 'openssh-client',
    rsync: 'rsync',
  })
  const tcp = await startTrunkline('tcp', folder, '--fs', folder)
  const unix = await startTrunkline('unix', folder, '--fs', folder)
  const { server: sshd, at } = await startSsh(folder)
  const rsyncd = await startRsync(folder, folder)
  const recursive = ({ isTree }: Subject): string[] => (isTree ? ['-r'] : [])
  const ours = (name: string, { server, at: address }: typeof tcp): Tool => ({
    name,
    server,
    work: (way, subject, source, target) => ({
      argv: [
        ...[process.execPath, BINARY, 'cp', '--to', address, ...recursive(subject)],
        ...(way === 'put' ? [source, `:${below(folder, target)}`] : [`:${below(folder, source)}`, target]),
      ],
    }),
  })
  return [
    ours('trunkline, TCP', tcp),
    ours('trunkline, unix socket', unix),
    {
      name: 'scp',
      server: sshd,
      work: (way, subject, source, target) => ({
        argv: [
          ...[scp, '-q', ...at.options, '-P', String(at.port), ...recursive(subject)],
          ...(way === 'put' ? [source, `${at.host}:${target}`] : [`${at.host}:${source}`, target]),
        ],
      }),
    },
    {
      name: 'sftp',
      server: sshd,
      work: (way, subject, source, target) => ({
        argv: [sftp, '-q', ...at.options, '-P', String(at.port), '-b', '-', at.host],
        input: `${[way, ...recursive(subject), source, target].join(' ')}\n`,
      }),
    },
    {
      name: 'rsync, its daemon',
      server: rsyncd.server,
      work: (way, subject, source, target) => ({
        argv: [
          ...[rsync, ...recursive(subject)],
          ...(way === 'put'
            ? [contents(subject, source), `${rsyncd.at}/${below(folder, target)}`]
            : [contents(subject, `${rsyncd.at}/${below(folder, source)}`), target]),
        ],
      }),
    },
    {
      name: 'rsync, over ssh',
      server: sshd,
      work: (way, subject, source, target) => ({
        argv: [
          ...[rsync, ...recursive(subject), '-e', [ssh, ...at.options, '-p', String(at.port)].join(' ')],
          ...(way === 'put'
            ? [contents(subject, source), `${at.host}:${target}`]
            : [contents(subject, `${at.host}:${source}`), target]),
        ],
      }),
    },
  ]
}

/** A path as the servers of `folder` see it. */
function below(folder: string, path: string): string {
  return path.slice(folder.length + 1)
}

/** For rsync `tree/` is what is in the tree. */
function contents({ isTree }: Subject, path: string): string {
  return isTree ? `${path}/` : path
}

/** One copy to a new place, checked, and removed again. */
function contender(tool: Tool, way: Way, subject: Subject, folder: string): Contender<Cost> {
  const from = join(folder, 'from', subject.name)
  const to = join(folder, 'to', subject.name)
  return {
    name: tool.name,
    async run() {
      rmSync(join(folder, 'to'), { recursive: true, force: true })
      mkdirSync(join(folder, 'to'))
      await tool.server.settled()
      const work = tool.work(way, subject, from, to)
      const before = await costOf(work, [tool.server.pid])
      execFileSync('diff', ['-r', '-q', from, to])
      rmSync(join(folder, 'to'), { recursive: true })
      return before
    },
  }
}

/** Random, so that nothing can make it smaller. */
function makeFile(path: string, bytes: number): void {
  const fd = openSync(path, 'w')
  for (let left = bytes; left > 0; left -= MIB) writeSync(fd, randomBytes(Math.min(left, MIB)))
  closeSync(fd)
}

function makeTree(path: string, files: number): void {
  for (let i = 0; i < files; i++) {
    const folder = join(path, `folder-${Math.floor(i / FILES_PER_FOLDER)}`)
    if (i % FILES_PER_FOLDER === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `file-${i}`), randomBytes(SMALL_BYTES[i % SMALL_BYTES.length] ?? 0))
  }
}
