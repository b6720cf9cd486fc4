/**
 * Two rules of this project that oxlint cannot hold: one needs types, the other a selector. All
 * other rules are in .oxlintrc.json; test/layers.test.ts holds which folder may import which.
 */
import tseslint from 'typescript-eslint'
import { bytePaths } from './test/lint/byte-paths.js'

/** The code that does no I/O: bytes and a clock reading in, bytes and the next deadline out. */
const CORE = ['src/core/**/*.ts']

/**
 * Where users' files are named by bytes. Elsewhere paths are ours, or those of addresses: schemeOf
 * (src/api/scheme.ts) refuses what is not text.
 */
const WITH_BYTE_PATHS = ['protocols/**/*.ts', 'src/cli/**/*.ts']
/** Folders of the environment, where they are UTF-8, and names of our own. */
const WITH_TEXT_PATHS = [
  'src/cli/doctor/**/*.ts',
  'src/cli/demo/**/*.ts',
  'src/cli/executable/embedded-addon.ts',
  'src/cli/launch.ts',
]

/** Everything that ships. */
const SHIPPED = ['src/**/*.ts', 'transports/**/*.ts', 'protocols/**/*.ts']

const NO_MESSAGE_MATCHING = {
  selector:
    'CallExpression[callee.property.name=/^(includes|match|startsWith|endsWith|indexOf)$/][callee.object.property.name="message"]',
  message: 'Match on an error’s code, never on its message.',
}

const NO_PROMISES = [
  { selector: ':function[async=true]', message: 'The core is synchronous: the pipe adapter owns the promises.' },
  { selector: 'AwaitExpression', message: 'The core is synchronous: the pipe adapter owns the promises.' },
  { selector: 'Identifier[name="Promise"]', message: 'The core is synchronous: the pipe adapter owns the promises.' },
  { selector: 'ImportExpression', message: 'The core loads nothing later.' },
]

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '**/node_modules/', '**/build/', '**/prebuilds/'] },
  // the directives in these files are oxlint's
  { linterOptions: { reportUnusedDisableDirectives: 'off' } },
  { files: SHIPPED, languageOptions: { parser: tseslint.parser } },
  { files: SHIPPED, rules: { 'no-restricted-syntax': ['error', NO_MESSAGE_MATCHING] } },
  { files: CORE, rules: { 'no-restricted-syntax': ['error', NO_MESSAGE_MATCHING, ...NO_PROMISES] } },
  {
    files: WITH_BYTE_PATHS,
    ignores: WITH_TEXT_PATHS,
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { trunkline: { rules: { 'byte-paths': bytePaths } } },
    rules: { 'trunkline/byte-paths': 'error' },
  },
)
