/**
 * Stands in for src/native/keeper-file.ts in the executable: the keeper is inside. The system
 * executes files only, so it gets one, which has no name once it is open: it is executed by our
 * descriptor, and gone with this process.
 */
import { spawnSync } from 'node:child_process'
import { embeddedProgram } from './embedded-addon.ts'

/** Its path; undefined where no folder lets programs be executed. */
export function findKeeper(): string | undefined {
  return embeddedProgram('keeper', (path) => spawnSync(path, ['--version'], { stdio: 'ignore' }).status === 0)
}
