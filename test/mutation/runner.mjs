/**
 * Stryker's way to our tests: all of them in one process that holds the code with every mutant in
 * it, so that a mutant costs the tests that reach it and no start. Node 24 reads the TypeScript
 * files as they are.
 *
 * A test that has not ended after {@link HANG_MS} and several times its usual duration has failed;
 * one that never gives the processor back is ended by Stryker, with its process.
 */
import { registerHooks } from 'node:module'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { declareFactoryPlugin, PluginKind } from '@stryker-mutator/api/plugin'
import { determineHitLimitReached, DryRunStatus, TestStatus, toMutantRunResult } from '@stryker-mutator/api/test-runner'
import { beginFile, collected } from './collector.mjs'
import '../helpers/quick-assert.mjs'

/** Folders whose tests are run, and single files besides. */
const FOLDERS = ['test/core', 'test/session', 'test/wire']
const FILES = [
  'test/trunk/abort.test.ts',
  'test/trunk/arguments.test.ts',
  'test/trunk/flow.test.ts',
  'test/trunk/it-pipe.test.ts',
  'test/trunk/life.test.ts',
  'test/trunk/open.test.ts',
  'test/trunk/status.test.ts',
  'test/mutation/seeds.ts',
]
/**
 * Not for a process that thousands of mutants share: real sockets, what measures the heap, the
 * handles or the time of the whole process (it would blame a mutant for its neighbours), and what
 * takes seconds to say what others say at once.
 */
const LEFT_OUT =
  /^test\/wire\/tcp\.|over (tcp|unix)|over sockets|10 MiB|64 MiB|[0-9]{2},000 (runs|credits)|costs little|leaves nothing|keeps nothing|holds no chunk|holds at most twice|in twice their bytes|in bounded memory|is at most the limit|100 pipes|any three values|in the middle: source|any sentence|byte by byte|10,000 calls|a million|at most twice/
/** What a test may take beyond several times what it took without a mutant. */
const HANG_MS = 1500
const MAX_FAILURES_PRINTED = 5
/**
 * How long each test took without a mutant, for the processes that come after the one that measured
 * it.
 */
const DURATIONS = 'build/mutation/durations.json'

const namespace = (globalThis.__stryker__ ??= {})
/** Where the mutated copy is: Stryker goes there after it has loaded this file. */
let root = ''
let rootUrl = ''
const collectorUrl = new URL('collector.mjs', import.meta.url).href
const fewRunsUrl = new URL('few-runs.mjs', import.meta.url).href

/**
 * Each load is a new copy of the program: what a mutant changes while a module is loaded is gone
 * with it.
 */
let generation = 0

function resolve(specifier, context, next) {
  if (specifier === 'node:test') return { url: collectorUrl, format: 'module', shortCircuit: true }
  if (specifier === 'fast-check' && context.parentURL?.startsWith(rootUrl) && context.parentURL !== fewRunsUrl) {
    return { url: fewRunsUrl, format: 'module', shortCircuit: true }
  }
  const resolved = next(specifier, context)
  const { url } = resolved
  if (!url.startsWith(rootUrl) || url.includes('/node_modules/') || !url.endsWith('.ts')) return resolved
  return { ...resolved, url: `${url}?generation=${generation}` }
}

function testFiles() {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `${folder}/${name}`),
  )
  return [...files, ...FILES].sort()
}

/** A rejection or an exception that nobody waits for fails the test in which it comes. */
let stray
function strayError(error) {
  stray?.(error)
}

/** A test that did not end in time. */
class Hang extends Error {}

function outcome(test, limitMs) {
  return new Promise((resolve, reject) => {
    stray = reject
    const timer = setTimeout(reject, limitMs, new Hang(`did not end within ${limitMs} ms`))
    Promise.resolve()
      .then(() => test.body({ signal: new AbortController().signal, diagnostic() {} }))
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer)
      })
  })
}

class Runner {
  #usual = new Map()
  #loaded = false
  #tests = []

  capabilities() {
    return { reloadEnvironment: true }
  }

  async init() {
    root = process.cwd()
    rootUrl = pathToFileURL(`${root}/`).href
    registerHooks({ resolve })
    process.on('unhandledRejection', strayError)
    process.on('uncaughtException', strayError)
  }

  async #load() {
    generation++
    collected.length = 0
    for (const file of testFiles()) {
      beginFile(file)
      await import(`${rootUrl}${file}?generation=${generation}`)
    }
    this.#tests = collected.filter(({ id }) => !LEFT_OUT.test(id))
    this.#loaded = true
    if (this.#usual.size === 0 && existsSync(DURATIONS)) {
      this.#usual = new Map(JSON.parse(readFileSync(DURATIONS, 'utf8')))
    }
  }

  async #run(tests, bail, dry) {
    const results = []
    for (const test of tests) {
      if (dry) namespace.currentTestId = test.id
      const limitMs = dry ? 120_000 : HANG_MS + 8 * (this.#usual.get(test.id) ?? 1000)
      const startedAt = performance.now()
      let error
      try {
        await outcome(test, limitMs)
      } catch (thrown) {
        error = thrown ?? new Error('rejected with nothing')
        // what goes on in a test that hangs may disturb the next
        if (error instanceof Hang) this.#loaded = false
      }
      const timeSpentMs = Math.max(0, Math.round(performance.now() - startedAt))
      const { id, name, file } = test
      const result = { id, name, fileName: join(root, file), timeSpentMs }
      if (dry) {
        this.#usual.set(id, timeSpentMs)
      }
      if (error === undefined) results.push({ ...result, status: TestStatus.Success })
      else {
        const failureMessage = error instanceof Error ? (error.stack ?? error.message) : String(error)
        results.push({ ...result, status: TestStatus.Failed, failureMessage })
        if (bail) break
      }
    }
    stray = undefined
    namespace.currentTestId = undefined
    return results
  }

  async dryRun() {
    await this.#load()
    const tests = await this.#run(this.#tests, false, true)
    const failed = tests.filter(({ status }) => status === TestStatus.Failed)
    for (const { id, failureMessage } of failed.slice(0, MAX_FAILURES_PRINTED)) console.error(id, failureMessage)
    mkdirSync('build/mutation', { recursive: true })
    writeFileSync(DURATIONS, JSON.stringify([...this.#usual]))
    return { status: DryRunStatus.Complete, tests, mutantCoverage: namespace.mutantCoverage }
  }

  async mutantRun({ activeMutant, testFilter, hitLimit, disableBail, mutantActivation }) {
    const fixed = mutantActivation === 'static'
    namespace.activeMutant = undefined
    namespace.hitLimit = hitLimit
    namespace.hitCount = hitLimit === undefined ? undefined : 0
    if (fixed) namespace.activeMutant = activeMutant.id
    let results
    try {
      if (fixed || !this.#loaded) await this.#load()
    } catch (error) {
      this.#loaded = false
      if (!fixed) throw error
      const failureMessage = error instanceof Error ? error.message : String(error)
      results = [{ id: 'load', name: 'load', timeSpentMs: 0, status: TestStatus.Failed, failureMessage }]
    }
    if (results === undefined) {
      namespace.activeMutant = activeMutant.id
      const wanted = testFilter === undefined ? undefined : new Set(testFilter)
      // the quick ones first: most mutants do not live to see the others
      const tests = this.#tests
        .filter(({ id }) => wanted === undefined || wanted.has(id))
        .sort((a, b) => (this.#usual.get(a.id) ?? 0) - (this.#usual.get(b.id) ?? 0))
      results = await this.#run(tests, !disableBail, false)
    }
    if (fixed) this.#loaded = false
    const timedOut = determineHitLimitReached(namespace.hitCount, hitLimit)
    namespace.activeMutant = undefined
    return toMutantRunResult(timedOut ?? { status: DryRunStatus.Complete, tests: results })
  }
}

function makeRunner() {
  return new Runner()
}
makeRunner.inject = []

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, 'trunkline', makeRunner)]
