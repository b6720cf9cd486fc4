/**
 * Runs a job for each item of a source, a bounded number at a time, and pulls no further item while
 * all slots are taken.
 */
import { Semaphore } from './semaphore.ts'

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
  const turns = new Semaphore(width)
  let endTurn = await turns.take()
  let pulled = 0
  try {
    for await (const item of items) {
      const over = endTurn
      void job(item)
        .catch((error: unknown) => failures.push(error))
        .then(over)
      pulled += 1
      if (pulled % TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      endTurn = await turns.take()
      if (failures.length > 0) break
    }
  } finally {
    endTurn()
    for (let left = width; left > 0; left--) await turns.take()
  }
  if (failures.length > 0) throw failures[0]
}
