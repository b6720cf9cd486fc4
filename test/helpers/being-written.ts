/**
 * Which files of a folder a process is writing that do not have their names yet: those without a
 * name (O_TMPFILE), and temporary ones. Linux.
 */
import { readdirSync, readlinkSync } from 'node:fs'

/** Their paths, as /proc shows them: `FOLDER/#1234 (deleted)`, or `FOLDER/.trunkline-….tmp`. */
export function beingWritten(folder: string, pid: number | 'self' = 'self'): string[] {
  const found: string[] = []
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
      if (path.startsWith(`${folder}/#`) || path.startsWith(`${folder}/.trunkline-`)) found.push(path)
    } catch {
      // closed since the folder was listed
    }
  }
  return found
}
