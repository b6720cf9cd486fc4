/**
 * Runs a job for each item of a source, a bounded number at a time, and pulls no further item while
 * all slots are taken.
 */

/**
 * Items after which the event loop has its turn, though all of them be done at once: a signal is
 * heard there, and the session lives.
 */
const TURN = 128

/**
 * Resolves when every job has ended. The first job that rejects stops the pulling; what runs is
 * waited for, then that error is thrown. The source is closed in every case.
 */
export async function inParallel<T>(
  items: AsyncIterable<T> | Iterable<T>,
  width: number,
  job: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  let active = 0
  let pulled = 0
  let wake: (() => void) | undefined
  const settled = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  const finished = (): void => {
    active -= 1
    wake?.()
  }
  try {
    for await (const item of items) {
      active += 1
      job(item).then(finished, (error: unknown) => {
        failures.push(error)
        finished()
      })
      pulled += 1
      if (pulled % TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      while (active >= width && failures.length === 0) await settled()
      if (failures.length > 0) break
    }
  } finally {
    while (active > 0) await settled()
  }
  if (failures.length > 0) throw failures[0]
}
