/**
 * Rounds: each contender once, then each again, so that what the machine does meanwhile hits all of
 * them alike.
 */
import type { Cost } from './meter.ts'

/** Who does the work. */
export interface Contender<Result> {
  readonly name: string
  run(): Promise<Result>
}

/** What each contender measured, a result a round. */
export type Results<Result> = Map<string, Result[]>

/** Runs all rounds; says on stderr what is under way. */
export async function inRounds<Result>(
  what: string,
  rounds: number,
  contenders: readonly Contender<Result>[],
): Promise<Results<Result>> {
  const results: Results<Result> = new Map(contenders.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const { name, run } of contenders) {
      process.stderr.write(`${what}, round ${round} of ${rounds}: ${name}\n`)
      results.get(name)?.push(await run())
    }
  }
  return results
}

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** The medians of a contender's costs. */
export function typical(costs: readonly Cost[]): Cost {
  return {
    seconds: median(costs.map(({ seconds }) => seconds)),
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
  }
}

/** A table in Markdown; columns but the first are flushed right. */
export function markdown(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = heads.map((_, i) => (i === 0 ? '---' : '---:'))
  return [heads, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}
