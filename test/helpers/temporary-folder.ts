/** A folder of a test's own, removed when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders: string[] = []

// one listener for all: each of its own would be warned of as a leak
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Makes the folder; its path is short enough for a unix socket in it. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tl-'))
  folders.push(path)
  return path
}
