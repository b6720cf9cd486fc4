/**
 * The package as a user gets it, with the program that uses it: packed from a copy of the sources
 * (so that nobody's build is touched), installed from the tarball into a folder of its own together
 * with `serialport`. The same folder is used on this machine and becomes the guests' /app.
 */
import { cpSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { runCommand } from '../../helpers/run-command.ts'
import { ROOT } from '../../helpers/root.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

/** Made, not written; or of no use to the package. */
const LEFT_OUT = new Set(['.git', 'node_modules', 'dist', 'build', 'prebuilds', 'coverage'])
const PROGRAM = ['program.mjs', 'streams.mjs']
const NPM_MS = 300_000
/** What the guest has no use for: other platforms' binaries. */
const NOT_FOR_THE_GUEST = /\/prebuilds\/(?!linux-x64)[^/]+$/

/**
 * Gives the folder; it is removed when the process ends. TRUNKLINE_VM_APP names one that was made
 * before, and is used as it is.
 */
export async function installedApp(): Promise<string> {
  const { TRUNKLINE_VM_APP: made } = process.env
  if (made !== undefined) return made
  const [copy, app] = [temporaryFolder(), temporaryFolder()]
  cpSync(ROOT, copy, { recursive: true, filter: (path) => !LEFT_OUT.has(relative(ROOT, path)) })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  await npm(copy, 'pack', '--pack-destination', app)
  rmSync(copy, { recursive: true })
  const tarball = readdirSync(app).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made no tarball')
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true, "type": "module" }\n')
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  await npm(app, 'install', ...quiet, `./${tarball}`, 'serialport')
  for (const path of readdirSync(app, { recursive: true, encoding: 'utf8' })) {
    if (NOT_FOR_THE_GUEST.test(`/${path}`)) rmSync(join(app, path), { recursive: true })
  }
  rmSync(join(app, tarball))
  for (const name of PROGRAM) cpSync(join(import.meta.dirname, '..', name), join(app, name))
  return app
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  const { status, output } = await runCommand({ cwd, timeoutMs: NPM_MS }, 'npm', args)
  if (status !== 0) throw new Error(`npm ${args.join(' ')} ended with ${String(status)}:\n${output}`)
}
