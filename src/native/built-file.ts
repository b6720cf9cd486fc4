/**
 * Where the native parts are: under build/Release (built here) or prebuilds/PLATFORM-ARCH (shipped)
 * of the package's own root, and nowhere else.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** From dist/src/native to the root. */
const MAX_DEPTH = 3

/** The path of `name`; undefined where it was not built. */
export function builtFile(name: string): string | undefined {
  const root = packageRoot(dirname(fileURLToPath(import.meta.url)))
  for (const folder of ['build/Release', `prebuilds/${process.platform}-${process.arch}`]) {
    const path = root && join(root, folder, name)
    if (path !== undefined && existsSync(path)) return path
  }
  return undefined
}

/**
 * The folder of trunkline's own package.json, at most so far above this file's; a neighbour's addon
 * is not ours, whatever its name.
 */
function packageRoot(from: string): string | undefined {
  let folder = from
  for (let level = 0; level <= MAX_DEPTH; level++, folder = dirname(folder)) {
    const manifest = join(folder, 'package.json')
    if (!existsSync(manifest)) continue
    return isOurs(manifest) ? folder : undefined
  }
  return undefined
}

function isOurs(manifest: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: unknown }
    return name === 'trunkline'
  } catch {
    // one that cannot be read names nobody
    return false
  }
}
