/** What samples over time say: the line through them, and whether something only grows. */

/** A value at a time in minutes. */
export interface Sample {
  readonly minute: number
  readonly value: number
}

/** The slope of the line through the samples (least squares), per minute; 0 for fewer than two. */
export function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length
  const minute = mean((sample) => sample.minute)
  const value = mean((sample) => sample.value)
  const spread = samples.reduce((sum, sample) => sum + (sample.minute - minute) ** 2, 0)
  if (samples.length < 2 || spread === 0) return 0
  return samples.reduce((sum, sample) => sum + (sample.minute - minute) * (sample.value - value), 0) / spread
}

/**
 * True where the last third stays above what the first third reached by more than `slack`: what was
 * only late comes down again.
 */
export function onlyGrows(samples: readonly Sample[], slack: number): boolean {
  const third = Math.floor(samples.length / 3)
  if (third === 0) return false
  const values = samples.map(({ value }) => value)
  return Math.min(...values.slice(-third)) > Math.max(...values.slice(0, third)) + slack
}
