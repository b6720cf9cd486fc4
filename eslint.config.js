/**
 * The rule of this project that oxlint cannot hold, because it needs types. All other rules are in
 * .oxlintrc.json; test/layers.test.ts holds which folder may import which.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import tseslint from 'typescript-eslint'
import { bytePaths } from './test/lint/byte-paths.js'

/**
 * Where users' files are named by bytes. Elsewhere paths are ours, or those of addresses: schemeOf
 * (src/api/scheme.ts) refuses what is not text.
 */
const WITH_BYTE_PATHS = ['protocols', 'src/cli']
/** Folders of the environment, where they are UTF-8, and names of our own. */
const WITH_TEXT_PATHS = [
  'src/cli/doctor/**/*.ts',
  'src/cli/demo/**/*.ts',
  'src/cli/executable/embedded-addon.ts',
  'src/cli/launch.ts',
]

/** How a module names node:fs: the rule has nothing to say of a file without it. */
const NAMES_FS = /['"](?:node:)?fs(?:\/promises)?['"]/

/** Files that the rule is for. */
const usersOfFs = WITH_BYTE_PATHS.flatMap((folder) =>
  readdirSync(join(import.meta.dirname, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
).filter((path) => NAMES_FS.test(readFileSync(join(import.meta.dirname, path), 'utf8')))

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '**/node_modules/', '**/build/', '**/prebuilds/'] },
  // the directives in these files are oxlint's
  { linterOptions: { reportUnusedDisableDirectives: 'off' } },
  {
    files: usersOfFs,
    ignores: WITH_TEXT_PATHS,
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: './tsconfig.build.json', tsconfigRootDir: import.meta.dirname },
    },
    plugins: { trunkline: { rules: { 'byte-paths': bytePaths } } },
    rules: { 'trunkline/byte-paths': 'error' },
  },
)
