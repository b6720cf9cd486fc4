/** A folder of a test's own, removed when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes the folder; its path is short enough for a unix socket in it. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tl-'))
  process.once('exit', () => {
    rmSync(path, { recursive: true, force: true })
  })
  return path
}
