/**
 * The repository in a folder, as far as a test needs it that is to run in a guest: the sources, the
 * tests, the addon, and of node_modules what those use.
 */
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../helpers/run-command.ts'
import { ROOT } from '../../helpers/root.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const FOLDERS = ['src', 'transports', 'protocols', 'test']
const FILES = ['package.json', 'tsconfig.json']
/** What tests import besides the package's own dependencies. */
const TEST_PACKAGES = ['tsx', 'fast-check', 'serialport']
const COMPILE_MS = 120_000

/** Gives the folder; it is removed when the process ends. */
export async function sourcesForGuest(): Promise<string> {
  const folder = temporaryFolder()
  const own = [
    ...FOLDERS.map((name) => ({ name, recursive: true })),
    ...FILES.map((name) => ({ name, recursive: false })),
  ]
  for (const { name, recursive } of own) {
    cpSync(join(ROOT, name), join(folder, name), { recursive, filter: (path) => !path.includes('node_modules') })
  }
  for (const name of installedWith([...dependenciesOf(ROOT), ...TEST_PACKAGES])) {
    cpSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true })
  }
  const output = join(folder, 'build', 'Release', 'trunkline.node')
  const args = [join(ROOT, 'src/native/build.mjs'), '--strict', '--output', output]
  const built = await runCommand({ cwd: ROOT, timeoutMs: COMPILE_MS }, process.execPath, args)
  if (built.status !== 0) throw new Error(`the addon could not be built:\n${built.output}`)
  return folder
}

/**
 * These packages and all that they need, as far as it is installed here (optional parts for other
 * platforms are not).
 */
function installedWith(names: readonly string[]): Set<string> {
  const found = new Set<string>()
  const waiting = [...names]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const folder = join(ROOT, 'node_modules', name)
    if (found.has(name) || !existsSync(folder)) continue
    found.add(name)
    waiting.push(...dependenciesOf(folder))
  }
  return found
}

function dependenciesOf(folder: string): string[] {
  const text = readFileSync(join(folder, 'package.json'), 'utf8')
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(text) as Record<string, Record<string, string>>
  return [...Object.keys(dependencies), ...Object.keys(optionalDependencies)]
}
