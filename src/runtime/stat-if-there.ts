/** The status of a file that need not be there. */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { errnoOf } from './system-errors.ts'

/** The status of what `path` leads to; undefined where there is nothing. */
export async function statIfThere(path: Buffer): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
