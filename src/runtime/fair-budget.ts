/**
 * A number of things (bytes, descriptors, jobs) that many trunks share. Promises: no more than
 * `max` are held; a lone greedy group of peers gets two thirds of them, and whoever comes next
 * finds room (the dynamic threshold of switches that share a buffer: one may hold twice what is
 * free); the trunks of a group share what the group may have by the same rule; whoever waits is
 * served in turn, group after group, in a group trunk after trunk, in a trunk in order. A wait ends
 * by a grant, its signal, the end of its trunk, or after `waitMs`. Whatever is given back is there
 * for others at once.
 */
import type { Clock } from './clock.ts'
import { abortError, type TrunkError } from '../contracts/errors.ts'
import { onAbort } from './on-abort.ts'
import type { PeerUse } from '../contracts/types.ts'

/** How many times what is free a group may hold. */
const GREED = 2
/**
 * The same for a trunk and what its group may still have: a lone trunk gets eight ninths of it, so
 * that company is no great advantage.
 */
const GREED_WITHIN = 8

/** What a budget is made of. */
export interface FairBudgetOptions {
  readonly max: number
  /**
   * Of these, kept for those that have nothing, however greedy all others are and whoever came
   * first. @default none
   */
  readonly reserve?: number
  /** How much such a one may have of it. */
  readonly minimum?: number
  readonly clock: Clock
  /** How long an asker waits at most. */
  readonly waitMs: number
  /** What it is told then. */
  readonly refusal: () => TrunkError
}

interface Asker {
  readonly amount: number
  readonly grant: () => void
  readonly fail: (error: TrunkError) => void
}

export class FairBudget {
  readonly max: number
  readonly #options: FairBudgetOptions
  readonly #byKey = new Map<string, Group>()
  /** Those that hold something or have an established trunk. */
  readonly #groups = new Set<Group>()
  /** Those of whom somebody waits; the one that was served longest ago comes first. */
  readonly #waiting = new Set<Group>()
  #used = 0
  #refused = 0

  constructor(options: FairBudgetOptions) {
    this.max = options.max
    this.#options = options
  }

  get used(): number {
    return this.#used
  }

  /** How often somebody was told that there is nothing left, at once or after a wait. */
  get refused(): number {
    return this.#refused
  }

  /**
   * What a trunk may take its part by. Those of one `peer` are a group; where it is empty, the
   * trunk is a group of its own.
   */
  open(peer: string): Share {
    let group = peer === '' ? undefined : this.#byKey.get(peer)
    if (group === undefined) {
      group = new Group(peer)
      this.#groups.add(group)
      if (peer !== '') this.#byKey.set(peer, group)
    }
    group.shares++
    return new Share(this, group)
  }

  /** Who has how much of it, the greediest first. */
  groups(): PeerUse[] {
    return [...this.#groups]
      .map(({ peer, held, waiting }) => {
        let asking = 0
        for (const share of waiting) asking += share.asking.size
        return { peer, used: held, waiting: asking }
      })
      .filter(({ used, waiting }) => used + waiting > 0)
      .sort((a, b) => b.used - a.used)
  }

  // --- what shares call --------------------------------------------------------------------------

  fits(share: Share, amount: number): boolean {
    const { group } = share
    const { reserve = 0, minimum = 0 } = this.#options
    if (group.held + amount <= minimum) return amount <= this.max - this.#used
    const common = this.max - reserve
    const free = common - this.#used
    if (amount > free || group.held + amount > GREED * free) return false
    // alone by its nature: what the group may have is its own
    if (group.peer === '') return true
    const others = this.#used - group.held
    const ofGroup = (GREED * (common - others)) / (GREED + 1)
    return share.held + amount <= GREED_WITHIN * (ofGroup - group.held)
  }

  /** How much a new trunk of `peer` could take now, at once. */
  room(peer: string): number {
    const { reserve = 0, minimum = 0 } = this.#options
    const held = this.#byKey.get(peer)?.held ?? 0
    const common = this.max - reserve
    const free = common - this.#used
    const ofGroup = (GREED * (common - this.#used + held)) / (GREED + 1)
    const least = Math.min(minimum - held, this.max - this.#used)
    const byRule = Math.min(free, GREED * free - held)
    return Math.max(least, peer === '' ? byRule : Math.min(byRule, GREED_WITHIN * (ofGroup - held)))
  }

  add(share: Share, amount: number): void {
    this.#used += amount
    share.group.held += amount
    share.held += amount
  }

  remove(share: Share, amount: number): void {
    const given = Math.min(amount, share.held)
    this.#used -= given
    share.group.held -= given
    share.held -= given
    this.#dropUnused(share.group)
    this.#serve()
  }

  refuse(): void {
    this.#refused++
  }

  /** A trunk has ended; what it still holds it gives back as it lets go of it. */
  close(share: Share): void {
    share.group.shares--
    this.#dropUnused(share.group)
  }

  enqueue(share: Share, amount: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, waitMs, refusal } = this.#options
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        timer.cancel()
        unsubscribe?.()
        this.#leave(share, asker)
      }
      const asker: Asker = {
        amount,
        grant: () => {
          leave()
          resolve()
        },
        fail: (error) => {
          leave()
          reject(error)
          // those behind it may ask for less
          this.#serve()
        },
      }
      const timer = clock.after(waitMs, () => {
        this.#refused++
        asker.fail(refusal())
      })
      share.asking.add(asker)
      share.group.waiting.add(share)
      this.#waiting.add(share.group)
      const unsubscribe = signal && onAbort(signal, () => asker.fail(abortError(signal)))
    })
  }

  #leave(share: Share, asker: Asker): void {
    share.asking.delete(asker)
    if (share.asking.size > 0) return
    share.group.waiting.delete(share)
    if (share.group.waiting.size === 0) this.#waiting.delete(share.group)
  }

  /** Grants what can be granted. */
  #serve(): void {
    while (this.#used < this.max && this.#grantOne());
  }

  #grantOne(): boolean {
    for (const group of this.#waiting) {
      for (const share of group.waiting) {
        const [first] = share.asking
        if (first === undefined || !this.fits(share, first.amount)) continue
        this.add(share, first.amount)
        first.grant()
        toTheEnd(group.waiting, share)
        toTheEnd(this.#waiting, group)
        return true
      }
    }
    return false
  }

  #dropUnused(group: Group): void {
    if (group.shares > 0 || group.held > 0) return
    this.#groups.delete(group)
    if (this.#byKey.get(group.peer) === group) this.#byKey.delete(group.peer)
  }
}

/** The trunks of one peer. */
class Group {
  readonly peer: string
  held = 0
  /** Trunks that stand. */
  shares = 0
  /** Trunks that wait; the one that was served longest ago comes first. */
  readonly waiting: Set<Share> = new Set<Share>()

  constructor(peer: string) {
    this.peer = peer
  }
}

/** The part of one trunk. */
export class Share {
  held = 0
  /** In order; as many as the trunk has operations. */
  readonly asking: Set<Asker> = new Set<Asker>()
  readonly group: Group
  readonly #budget: FairBudget
  #over: TrunkError | undefined

  constructor(budget: FairBudget, group: Group) {
    this.#budget = budget
    this.group = group
  }

  /** Takes so many, if there is room and none of this trunk waits; the caller gives them back. */
  take(amount: number): boolean {
    if (this.#over !== undefined) return false
    if (this.asking.size > 0 || !this.#budget.fits(this, amount)) return false
    this.#budget.add(this, amount)
    return true
  }

  /** As {@link take}; a false one counts as a refusal. */
  takeOrRefuse(amount: number): boolean {
    const taken = this.take(amount)
    if (!taken) this.#budget.refuse()
    return taken
  }

  /**
   * Takes so many as soon as there is room. Rejects with the reason of `signal`, or what
   * {@link end} or the budget says.
   */
  async wait(amount: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw abortError(signal)
    if (this.#over !== undefined) throw this.#over
    if (!this.take(amount)) await this.#budget.enqueue(this, amount, signal)
  }

  /** True where the trunk has ended. */
  get isOver(): boolean {
    return this.#over !== undefined
  }

  /** Gives so many back. */
  give(amount: number): void {
    if (amount > 0) this.#budget.remove(this, amount)
  }

  /** The trunk has ended: nobody waits any more, and nothing is granted. */
  end(error: TrunkError): void {
    if (this.#over !== undefined) return
    this.#over = error
    for (const asker of this.asking) asker.fail(error)
    this.#budget.close(this)
  }
}

function toTheEnd<T>(order: Set<T>, item: T): void {
  if (order.delete(item)) order.add(item)
}
