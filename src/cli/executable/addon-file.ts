/** Stands in for src/native/addon-file.ts in the executable: the addon is inside. */
import type { AddonFile } from '../../native/addon-file.ts'
import { loadEmbedded } from './embedded-addon.ts'

/** See src/native/addon-file.ts. */
export function findAddon(): AddonFile {
  return { path: 'in the executable', load: () => loadEmbedded('trunkline.node') }
}
