/**
 * The file of the native addon: built-file.ts says where it is. The executable brings it inside:
 * there src/cli/executable/addon-file.ts stands in for this file.
 */
import { createRequire } from 'node:module'
import { builtFile } from './built-file.ts'

/** A file that holds the addon. */
export interface AddonFile {
  /** To be shown. */
  readonly path: string
  /** Gives what the addon exports. Throws what the system says of a file that it does not load. */
  readonly load: () => unknown
}

/** Undefined where it was not built. */
export function findAddon(): AddonFile | undefined {
  const path = builtFile('trunkline.node')
  return path === undefined ? undefined : { path, load: () => createRequire(import.meta.url)(path) as unknown }
}
