/**
 * What a keeper holds, from the server's side: what it tells becomes promises, what it is told
 * becomes records.
 */
import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex } from 'node:stream'
import type { Ended, SignalScope } from '../launch.ts'
import { descendantsOf, processTable } from '../process-table.ts'
import { encodeEnd, encodeRelease, encodeSignal, type KeeperRecord, type KeeperRecords } from './wire.ts'

type Started = Extract<KeeperRecord, { kind: 'started' | 'failed' }>

export class KeptTree {
  /** How the launch went; undefined where the keeper was gone before it said so. */
  readonly answer: Promise<Started | undefined>
  /** How the leader has ended: by KILL where the keeper is gone, which takes it along. */
  readonly ended: Promise<Ended>
  /** The keeper has no child any more, or is gone. */
  readonly empty: Promise<void>
  onStopped: ((signal: string | undefined) => void) | undefined
  readonly #keeper: ChildProcess
  readonly #control: Duplex
  #leader = 0
  #hasEnded = false
  #isEmpty = false
  #settle: {
    answer: (record: Started | undefined) => void
    ended: (ended: Ended) => void
    empty: () => void
  } = { answer: () => undefined, ended: () => undefined, empty: () => undefined }

  constructor(keeper: ChildProcess, control: Duplex, records: KeeperRecords) {
    this.#keeper = keeper
    this.#control = control
    this.answer = new Promise((resolve) => (this.#settle.answer = resolve))
    this.ended = new Promise((resolve) => (this.#settle.ended = resolve))
    this.empty = new Promise((resolve) => (this.#settle.empty = resolve))
    control.on('data', (chunk: Uint8Array) => {
      try {
        for (const record of records.push(chunk)) this.#hear(record)
      } catch {
        // no keeper of ours: it ends its tree when we are gone, and so it is for us
        control.destroy()
      }
    })
    // what was written to a keeper that is gone; its end tells the rest
    control.on('error', () => undefined)
    // the last words lie in the socket when the process is gone: both have to be over
    keeper.once('close', () => {
      this.#gone()
    })
  }

  /** Processes of the tree beside the leader. */
  count(): number {
    if (this.#isEmpty) return 0
    const pid = this.#keeper.pid ?? 0
    return descendantsOf([{ pid }], processTable() ?? []).filter((row) => row.pid !== this.#leader).length
  }

  write(bytes: Uint8Array): void {
    if (!this.#control.destroyed && this.#control.writable) this.#control.write(bytes)
  }

  /** False where there is nobody to get it. */
  signal(number: number, scope: SignalScope, group: number): boolean {
    if (this.#isEmpty || (scope === 'leader' && this.#hasEnded)) return false
    this.write(encodeSignal(number, scope, group))
    return true
  }

  end(graceMs: number): void {
    this.write(encodeEnd(graceMs))
  }

  /** Ends it at once, and says no more: a keeper of any release is gone then. */
  drop(): void {
    this.end(0)
    this.#control.end()
  }

  release(): void {
    this.write(encodeRelease())
    this.#keeper.unref()
    ;(this.#control as Duplex & { unref?: () => void }).unref?.()
  }

  #hear(record: KeeperRecord): void {
    switch (record.kind) {
      case 'started':
        this.#leader = record.pid
        this.#settle.answer(record)
        break
      case 'failed':
        this.#settle.answer(record)
        break
      case 'ended': {
        const { code, signal, core, leftovers, userMs, systemMs, maxRssKiB } = record
        this.#hasEnded = true
        this.#settle.ended({
          code: signal === 0 ? code : null,
          signal: signal === 0 ? null : signalName(signal),
          core,
          leftovers,
          usage: { userMs, systemMs, maxRssKiB },
        })
        break
      }
      case 'stopped':
        this.onStopped?.(signalName(record.signal))
        break
      case 'continued':
        this.onStopped?.(undefined)
        break
      case 'empty':
        this.#isEmpty = true
        break
      case 'left':
        // it goes on by itself, and tells when they are gone
        break
    }
  }

  #gone(): void {
    const wasKilled = !this.#isEmpty && this.#leader !== 0
    // whoever hid from the group is lost with the keeper; the rest is not
    if (wasKilled && !this.#hasEnded) killGroup(this.#leader)
    this.#isEmpty = true
    this.#hasEnded = true
    this.#settle.answer(undefined)
    this.#settle.ended({ code: null, signal: 'KILL', core: false, leftovers: 0 })
    this.#settle.empty()
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // nobody is left in it
  }
}

function signalName(number: number): string {
  const [name] = Object.entries(constants.signals).find(([, known]) => known === number) ?? []
  return name?.slice('SIG'.length) ?? String(number)
}
