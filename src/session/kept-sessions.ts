/**
 * The sessions of one server that outlive their links, by id: those that have a link, and those
 * that wait for one. Of the latter at most `max`
 * are kept; beyond it the oldest of whoever has most is given up, so nobody's waiting sessions cost
 * another's.
 */
import type { Engine } from '../core/session/engine.ts'
import { TrunkError } from '../contracts/errors.ts'
import { peerGroup } from './strangers.ts'
import type { TrunkSession } from './trunk.ts'

export class KeptSessions {
  readonly #max: number
  /** By id, in hexadecimal digits; the oldest first. */
  readonly #sessions = new Map<string, TrunkSession>()

  constructor(max: number) {
    this.#max = max
  }

  /** A session is established: one that ends with its link is not kept here. */
  add(session: TrunkSession): void {
    const { resumable } = session
    if (resumable !== undefined) this.#sessions.set(hex(resumable.secret.id), session)
  }

  /** `session` is over. */
  delete(session: TrunkSession): void {
    for (const [id, kept] of this.#sessions) if (kept === session) this.#sessions.delete(id)
  }

  /** What the next link can go on with. */
  find(id: Uint8Array): Engine | undefined {
    return this.#sessions.get(hex(id))?.resumable
  }

  /** A session has lost its link: too many that wait are given up. */
  trim(): void {
    while (this.#waiting().length > this.#max) this.giveUpOne()
  }

  /** Gives up the oldest that waits, of whoever has most of them; false where none does. */
  giveUpOne(): boolean {
    const groups = new Map<string, TrunkSession[]>()
    let greediest: TrunkSession[] = []
    for (const session of this.#waiting()) {
      const name = peerGroup(session.peerAddress)
      const group = groups.get(name) ?? []
      groups.set(name, group)
      if (group.push(session) > greediest.length) greediest = group
    }
    const [oldest] = greediest
    if (oldest === undefined) return false
    giveUp(oldest, 'it was the oldest without a link, and room was needed for another')
    return true
  }

  giveUpAll(): void {
    for (const session of this.#waiting()) giveUp(session, 'the server is closing')
  }

  #waiting(): TrunkSession[] {
    return [...this.#sessions.values()].filter(({ resumable, isAttached }) => resumable !== undefined && !isAttached)
  }
}

function giveUp(session: TrunkSession, why: string): void {
  session.giveUp(new TrunkError('ERR_RESUME_LIMIT', `the session was given up: ${why}`))
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString('hex')
}
