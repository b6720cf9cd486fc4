/**
 * The tree of a program that was started in a session and a process group of its own, as far as it
 * can be held together from outside: what stays in the session, and what descends from it at the
 * moment when it is looked at. What has left the session and lost its parent is not found; a keeper
 * finds it.
 */
import { Doubling } from '../../src/runtime/backoff.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { processRow, processTable, treeOf, type ProcessRow } from './process-table.ts'

/**
 * First wait before a group is looked at again; each further one is twice as long, up to the last.
 */
const LOOK_MS = 5
const LOOK_MAX_MS = 200

export class ProcessGroup {
  readonly #leader: number
  readonly #clock: Clock
  #leaderEnded = false
  /** Once it is, its number may be somebody else's: nothing is signalled any more. */
  #isEmpty = false
  /** Found outside the group while their parents lived. */
  readonly #outside = new Map<number, ProcessRow>()
  #killAt: number | undefined
  #killing: Timer | undefined
  #empty: Promise<void> | undefined

  constructor(leader: number, clock: Clock) {
    this.#leader = leader
    this.#clock = clock
  }

  /** The leader was reaped: its number stands for the group alone from here on. */
  leaderEnded(): void {
    this.#leaderEnded = true
  }

  /** Processes beside the leader. */
  count(): number {
    if (this.#isEmpty) return 0
    if (this.#leaderEnded && !this.#answers() && this.#outside.size === 0) {
      this.#isEmpty = true
      return 0
    }
    const members = this.#members()
    // no table: the group answers, and nobody says for how many
    const others = members?.filter(({ pid }) => pid !== this.#leader).length ?? (this.#leaderEnded ? 1 : 0)
    if (this.#leaderEnded && others === 0) this.#isEmpty = true
    return others
  }

  /** See `Launched.empty`. */
  empty(): Promise<void> {
    return (this.#empty ??= new Promise((resolve) => {
      const waits = new Doubling(LOOK_MS, LOOK_MAX_MS)
      const look = (): void => {
        if (this.#leaderEnded && this.count() === 0) {
          this.#killing?.cancel()
          resolve()
          return
        }
        if (this.#killAt !== undefined && this.#clock.now() >= this.#killAt) this.#signalTree('KILL')
        this.#clock.after(waits.next(), look, true)
      }
      look()
    }))
  }

  signal(name: string, scope: 'leader' | 'group' | 'tree'): boolean {
    if (this.#isEmpty) return false
    if (scope === 'tree') return this.#signalTree(name)
    if (scope === 'leader') return !this.#leaderEnded && send(this.#leader, name)
    return send(-this.#leader, name)
  }

  kill(graceMs: number): void {
    const at = this.#clock.now() + graceMs
    if (this.#isEmpty || (this.#killAt !== undefined && this.#killAt <= at)) return
    const isFirst = this.#killAt === undefined
    this.#killAt = at
    this.#killing?.cancel()
    if (graceMs === 0) this.#signalTree('KILL')
    else {
      if (isFirst) {
        this.#signalTree('TERM')
        this.#signalTree('CONT')
      }
      this.#killing = this.#clock.after(graceMs, () => this.#signalTree('KILL'), true)
    }
    void this.empty()
  }

  #answers(): boolean {
    return send(-this.#leader, 0)
  }

  #signalTree(name: string): boolean {
    if (this.#isEmpty) return false
    const members = this.#members() ?? []
    let reached = send(-this.#leader, name)
    for (const row of members) if (row.group !== this.#leader) reached = send(row.pid, name) || reached
    return reached
  }

  /**
   * All that can be found now. What was found outside the group is remembered: by the next time it
   * may have lost its parent.
   */
  #members(): ProcessRow[] | undefined {
    const rows = processTable()
    if (rows === undefined) return undefined
    const members = new Map(treeOf(this.#leader, rows).map((row) => [row.pid, row]))
    for (const [pid, { startedAt }] of this.#outside) {
      const now = processRow(pid)
      if (now?.startedAt === startedAt) members.set(pid, now)
      else this.#outside.delete(pid)
    }
    for (const row of members.values()) if (row.session !== this.#leader) this.#outside.set(row.pid, row)
    return [...members.values()]
  }
}

/** False where there is nobody to get it. */
function send(pid: number, name: string | 0): boolean {
  try {
    return process.kill(pid, name === 0 ? 0 : `SIG${name}`)
  } catch (error) {
    // EPERM: it lives, as somebody else
    return errnoOf(error) === 'EPERM'
  }
}
