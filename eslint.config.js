/**
 * The rules that TypeScript does not hold: no forgotten promise, a core that knows neither time nor I/O, no timer but
 * the injected clock's, no sleep in a test. test/layers.test.ts holds which folder may import which.
 */
import js from '@eslint/js'
import tseslint from 'typescript-eslint'
import { bytePaths } from './test/lint/byte-paths.js'

/** The code that does no I/O: bytes and a clock reading in, bytes and the next deadline out. */
const CORE = ['src/core/**/*.ts']

/** Where users' files are named by bytes. Elsewhere paths are ours, or those of addresses: schemeOf (src/api/scheme.ts) refuses what is not text. */
const WITH_BYTE_PATHS = ['protocols/**/*.ts', 'src/cli/**/*.ts']
const WITH_TEXT_PATHS = ['src/cli/doctor/**/*.ts', 'src/cli/demo/**/*.ts']

/** Everything that ships. */
const SHIPPED = ['src/**/*.ts', 'transports/**/*.ts', 'protocols/**/*.ts']

const TIMERS = ['setTimeout', 'setInterval']

/** Forbids the global names; `why` is the advice. */
const forbidGlobals = (names, why) => ['error', ...names.map((name) => ({ name, message: why }))]

const NO_MESSAGE_MATCHING = {
  selector:
    'CallExpression[callee.property.name=/^(includes|match|startsWith|endsWith|indexOf)$/][callee.object.property.name="message"]',
  message: 'Match on an error’s code, never on its message.',
}

const NO_PROMISES = [
  { selector: ':function[async=true]', message: 'The core is synchronous: the skin owns the promises.' },
  { selector: 'AwaitExpression', message: 'The core is synchronous: the skin owns the promises.' },
  { selector: 'Identifier[name="Promise"]', message: 'The core is synchronous: the skin owns the promises.' },
  { selector: 'ImportExpression', message: 'The core loads nothing later.' },
]

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'coverage/',
      'build/',
      'prebuilds/',
      '**/node_modules/',
      '**/build/',
      '**/prebuilds/',
      'test/bench/contenders/trunkline.ts',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // node:test's own promises: the runner waits for them
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'test', 'suite'] },
          ],
        },
      ],
      // numbers read well in a sentence; objects and undefined do not
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // a handler is async by contract: its throw is to become a rejection, whether or not it waits for anything
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', NO_MESSAGE_MATCHING],
      'no-restricted-properties': [
        'error',
        {
          property: 'resetAndDestroy',
          message: 'During a shutdown it leaks the socket and the process never exits: resetSocket (protocols/tcp).',
        },
      ],
    },
  },
  {
    files: SHIPPED,
    rules: {
      'max-lines': ['error', { max: 400, skipComments: true, skipBlankLines: true }],
      'no-console': 'error',
      'no-restricted-globals': forbidGlobals(
        TIMERS,
        'Take the injected Clock (src/runtime/clock.ts): a test turns it by hand.',
      ),
    },
  },
  {
    files: WITH_BYTE_PATHS,
    ignores: WITH_TEXT_PATHS,
    plugins: { trunkline: { rules: { 'byte-paths': bytePaths } } },
    rules: { 'trunkline/byte-paths': 'error' },
  },
  { files: ['src/runtime/clock.ts'], rules: { 'no-restricted-globals': 'off' } },
  {
    files: CORE,
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['node:*'], message: 'The core does no I/O and imports no module of Node.' }] },
      ],
      'no-restricted-globals': forbidGlobals(
        [...TIMERS, 'setImmediate', 'queueMicrotask', 'performance', 'Date', 'process', 'fetch', 'crypto'],
        'The core is told the time and the randomness: a session must be replayable from a seed.',
      ),
      'no-restricted-syntax': ['error', NO_MESSAGE_MATCHING, ...NO_PROMISES],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      'no-restricted-globals': forbidGlobals(
        TIMERS,
        'Tests do not sleep: turn the virtual clock or wait for an event.',
      ),
      '@typescript-eslint/no-non-null-assertion': 'off',
      // a test may look at a sentence, and a method that lost its `this` fails there at once
      'no-restricted-syntax': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['test/helpers/**/*.ts', 'test/bench/**/*.ts', 'test/vm/**/*.ts'],
    rules: { 'no-restricted-globals': 'off' },
  },
  { files: ['**/*.{js,mjs,cjs}'], rules: { 'no-unused-vars': 'error', eqeqeq: 'error' } },
)
