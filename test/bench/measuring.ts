/**
 * One row of a run: the contenders take turns, round after round. Whoever is slow is measured once,
 * whoever is not done in time gets no figure, and what was done otherwise for one of them is noted,
 * so that a run takes a bounded time and its table says what happened.
 */
import type { Step } from './plan.ts'
import type { Progress } from './progress.ts'
import { TimedOut } from './remote.ts'
import type { Series } from './results.ts'
import type { Figures } from './workloads.ts'

/** What one contender may take for a row. */
export interface Bounds {
  /** A first round that takes longer is the only one. */
  readonly slowMs: number
  /** A round that takes longer has no figure, and there is no other. */
  readonly patienceMs: number
}

/** Runs `workload` once; rejects with `TimedOut` after `timeoutMs`. */
export type Measure = (step: Step, workload: string, name: string, timeoutMs: number) => Promise<Figures>

/** Once is chance; who fails twice would fail again. */
const MAX_FAILURES = 2

/** One contender in one row. */
class Candidate {
  readonly name: string
  readonly series: Series = { figures: {} }
  over = false
  ms = 0
  readonly #step: Step
  readonly #bounds: Bounds
  #measured = 0
  #failures = 0
  #failure: string | undefined
  #slow = false
  #workload: string

  constructor(name: string, step: Step, bounds: Bounds) {
    this.name = name
    this.#step = step
    this.#bounds = bounds
    this.#workload = step.workload
  }

  /** True where there is to be no other. */
  async round(round: number, measure: Measure, now: () => number): Promise<boolean> {
    const startedAt = now()
    try {
      const figures = await measure(this.#step, this.#workload, this.name, this.#bounds.patienceMs)
      for (const [figure, value] of Object.entries(figures)) (this.series.figures[figure] ??= [])[round] = value
      this.#slow = this.#measured === 0 && now() - startedAt > this.#bounds.slowMs
      this.#measured++
      this.over = this.#slow
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error)
      this.#failures++
      this.over = error instanceof TimedOut || this.#failures >= MAX_FAILURES
    } finally {
      this.ms += now() - startedAt
    }
    if (this.over && this.#measured === 0 && this.#lessWork()) return this.round(round, measure, now)
    return this.over
  }

  /** True where the row has an easier workload that has not been tried. */
  #lessWork(): boolean {
    const { fewer } = this.#step
    if (fewer === undefined || this.#workload === fewer.workload) return false
    this.#workload = fewer.workload
    this.#note(`${fewer.is}; with ${fewer.asked}: ${this.#failure ?? 'failed'}`)
    this.#failures = 0
    this.#failure = undefined
    this.over = false
    return true
  }

  /** After the last round: what is to be told beside the figures. Gives it in short. */
  finish(): string {
    this.over = true
    if (this.#measured === 0) {
      this.series.error = this.#failure ?? 'not asked'
      return this.series.error
    }
    const rounds = `${this.#measured} of ${this.#step.rounds} rounds`
    if (this.#slow && this.#step.rounds > 1) {
      this.#note(`1 round: it took more than ${this.#bounds.slowMs / 1000} s`)
    } else if (this.#failure !== undefined) this.#note(`${rounds}; in another: ${this.#failure}`)
    return rounds
  }

  #note(text: string): void {
    this.series.notes = [...(this.series.notes ?? []), text]
  }
}

/** Every contender's figures for one row. */
export async function measureStep(
  step: Step,
  bounds: Bounds,
  measure: Measure,
  progress: Pick<Progress, 'asking' | 'done'>,
  now: () => number,
): Promise<Record<string, Series>> {
  const candidates = step.contenders.map((name) => new Candidate(name, step, bounds))
  for (let round = 0; round < step.rounds; round++) {
    for (const candidate of candidates) {
      if (candidate.over) continue
      progress.asking(candidate.name)
      const over = await candidate.round(round, measure, now)
      if (over || round === step.rounds - 1) progress.done(candidate.name, candidate.ms, candidate.finish())
    }
  }
  return Object.fromEntries(candidates.map(({ name, series }) => [name, series]))
}
