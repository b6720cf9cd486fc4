/**
 * The package as a user gets it: packed with `npm pack`, installed from the tarball into a folder
 * of its own, far from this one. Needs a build in dist/.
 */
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand, type CommandResult } from './run-command.ts'
import { ROOT } from './root.ts'

/** A user's project with trunkline in its node_modules. */
export interface Consumer {
  readonly folder: string
  /** Paths of the files in the tarball. */
  readonly files: readonly string[]
  /** Runs a command in the folder. */
  run(command: string, ...args: string[]): Promise<CommandResult>
  remove(): void
}

/** Longest time for npm, in milliseconds: an install on a slow line. */
const NPM_MS = 120_000
/** Longest time for anything else. */
const PROGRAM_MS = 90_000

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { status, output } = await runCommand({ cwd, timeoutMs: NPM_MS }, 'npm', args)
  if (status !== 0) throw new Error(`npm ${args.join(' ')} ended with ${String(status)}:\n${output}`)
  return output
}

/**
 * Packs and installs. The dependencies come from npm's cache where it has them, else from the
 * registry. `project` is the text of the user's package.json; without one it is what `npm init -y`
 * makes.
 */
export async function packedConsumer(project?: string): Promise<Consumer> {
  if (!existsSync(join(ROOT, 'dist/src/index.js'))) throw new Error('there is no build: npm run build')
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-consumer-'))
  try {
    const tarball = await pack(folder)
    if (project === undefined) await npm(folder, 'init', '-y', '--loglevel=error')
    else writeFileSync(join(folder, 'package.json'), project)
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
    await npm(folder, 'install', ...quiet, `./${tarball.filename}`)
    return {
      folder,
      files: tarball.files,
      run: (command, ...args) => runCommand({ cwd: folder, timeoutMs: PROGRAM_MS }, command, args),
      remove: () => rmSync(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function pack(folder: string): Promise<{ filename: string; files: string[] }> {
  const flags = ['--json', '--ignore-scripts', '--loglevel=silent', '--pack-destination', folder]
  const output = await npm(ROOT, 'pack', ...flags)
  const [packed] = JSON.parse(output.slice(output.indexOf('['))) as { filename: string; files: { path: string }[] }[]
  if (packed === undefined) throw new Error(`npm pack told of no tarball: ${output}`)
  return { filename: packed.filename, files: packed.files.map(({ path }) => path) }
}

/** Puts the user's programs and the example plugins into the folder, and what compiles them. */
export function addPrograms({ folder }: Consumer): void {
  for (const path of ['docs/examples', 'test/package/consumer'])
    cpSync(join(ROOT, path), join(folder, path), { recursive: true })
  // the user's own development tools: the compiler and Node's types
  symlinkSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'))
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'NodeNext',
    strict: true,
    exactOptionalPropertyTypes: true,
    types: ['node'],
    rewriteRelativeImportExtensions: true,
    noEmitOnError: true,
    rootDir: '.',
    outDir: 'built',
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['docs', 'test'] }))
}
