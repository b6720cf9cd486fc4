/**
 * The processes of this machine as Linux tells them in /proc. Elsewhere there is no table, and a
 * process group answers for itself.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** A process that is alive: a zombie is not. */
export interface ProcessRow {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** When it began, in the kernel's ticks: with the pid it names one process for good. */
  readonly startedAt: string
}

const PID = /^\d+$/

let ofTurn: ProcessRow[] | undefined

/**
 * Those that there are now; undefined where the system has no such table. Read once in a turn of
 * the event loop, whatever a peer asks for: with many processes it takes milliseconds.
 */
export function processTable(): readonly ProcessRow[] | undefined {
  if (ofTurn !== undefined) return ofTurn
  const rows = readTable()
  if (rows === undefined) return undefined
  ofTurn = rows
  setImmediate(() => {
    ofTurn = undefined
  })
  return rows
}

function readTable(): ProcessRow[] | undefined {
  let names: Buffer[]
  try {
    names = readdirSync(Buffer.from('/proc'), 'buffer')
  } catch {
    return undefined
  }
  const rows: ProcessRow[] = []
  for (const name of names) {
    const text = name.toString('latin1')
    const row = PID.test(text) ? processRow(Number(text)) : undefined
    if (row !== undefined) rows.push(row)
  }
  return rows.length === 0 ? undefined : rows
}

/** One of them; undefined where it is gone, or a zombie. */
export function processRow(pid: number): ProcessRow | undefined {
  let text: string
  try {
    text = readFileSync(Buffer.from(`/proc/${pid}/stat`), 'latin1')
  } catch {
    return undefined
  }
  // the name in parentheses may hold anything
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state = '', parent, group, session] = fields
  if (state === 'Z' || state === 'X') return undefined
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    startedAt: fields[19] ?? '',
  }
}

/** Those that descend from a process of `session`, or are of it. */
export function treeOf(session: number, rows: readonly ProcessRow[]): ProcessRow[] {
  const roots = rows.filter((row) => row.session === session)
  return [...new Set([...roots, ...descendantsOf(roots, rows)])]
}

/** Those that descend from one of `roots`. */
export function descendantsOf(roots: readonly Pick<ProcessRow, 'pid'>[], rows: readonly ProcessRow[]): ProcessRow[] {
  const found = new Set<ProcessRow>()
  const children = new Map<number, ProcessRow[]>()
  for (const row of rows) {
    const siblings = children.get(row.parent)
    if (siblings === undefined) children.set(row.parent, [row])
    else siblings.push(row)
  }
  const waiting = [...roots]
  for (let row = waiting.pop(); row !== undefined; row = waiting.pop()) {
    for (const child of children.get(row.pid) ?? []) {
      if (found.has(child)) continue
      found.add(child)
      waiting.push(child)
    }
  }
  return [...found]
}
