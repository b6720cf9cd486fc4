/**
 * The keeper: a program beside the addon that starts a command and ends all that comes of it.
 * src/native/keeper/keeper.h is its contract. built-file.ts says where it is; the executable brings
 * it inside: there src/cli/executable/keeper-file.ts stands in for this file.
 */
import { accessSync, constants } from 'node:fs'
import { builtFile } from './built-file.ts'

/**
 * Its path; undefined where it was not built (no C compiler, a system other than Linux), and where
 * it cannot be executed: then commands are to do without.
 */
export function findKeeper(): string | undefined {
  const path = builtFile('keeper')
  if (path === undefined) return undefined
  try {
    accessSync(path, constants.X_OK)
  } catch {
    // a file system that is mounted noexec, or an archive that lost its modes
    return undefined
  }
  return path
}
