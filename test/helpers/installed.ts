/** Programs that npm does not bring: where they are, or which of Debian's packages to install. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where Debian keeps servers, whatever the user's path is. */
const MORE_FOLDERS = ['/usr/sbin', '/sbin', '/usr/local/sbin']

/** The full path of each program; throws, with what to install, where any is missing. */
export function installed<Name extends string>(packages: Readonly<Record<Name, string>>): Record<Name, string> {
  const found: Partial<Record<Name, string>> = {}
  const missing = new Set<string>()
  for (const name of Object.keys(packages) as Name[]) {
    const path = pathOf(name)
    if (path === undefined) missing.add(packages[name])
    else found[name] = path
  }
  if (missing.size === 0) return found as Record<Name, string>
  throw new Error(
    `missing programs; on Debian: apt-get install -y --no-install-recommends ${[...missing].sort().join(' ')}`,
  )
}

function pathOf(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_FOLDERS]
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false // the next folder may have it
  }
}
