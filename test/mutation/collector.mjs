/**
 * Stands in for `node:test` while mutants are tried: what a file describes is collected, so that
 * the runner can run any of it, in one process, as often as it likes. Only what the selected test
 * files use is here; anything else fails when it is imported.
 */

/** The tests: a name that is the same in each process, the file, and what to run. */
export const collected = []

/** A seed that is thrown when a file is loaded is another in each process: a test has one name. */
const THROWN_SEED = /seed \d{4,}/

let titles = []
let file = ''

/** What is collected from here on belongs to this file. */
export function beginFile(name) {
  file = name
  titles = []
}

export function describe(title, options, body = options) {
  titles.push(title)
  const returned = body()
  if (returned instanceof Promise) throw new TypeError(`${file}: a describe may not be asynchronous here`)
  titles.pop()
}

export function it(title, options, body = options) {
  const name = [...titles, title].join(' › ').replace(THROWN_SEED, 'seed')
  collected.push({ id: `${file}: ${name}`, file, name, body })
}

/**
 * Hooks at the end of a group free what its tests shared; a process that is thrown away needs none
 * of that.
 */
export function after() {
  // nothing
}
