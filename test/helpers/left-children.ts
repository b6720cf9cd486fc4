/**
 * Child processes of a test file that end with it. A test that failed has not stopped what it
 * started, and the file's process would wait for that until the runner's time limit.
 */
import type { ChildProcess } from 'node:child_process'
import { after } from 'node:test'

const alive = new Set<ChildProcess>()

// benchmarks, which use the same helpers, are no tests
if (process.env.NODE_TEST_CONTEXT !== undefined)
  after(() => {
    for (const child of alive) child.kill('SIGKILL')
  })

/** Where the process is ended before that. */
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Kills `child` after the last test of the file, where it has not ended by then. */
export function endWithTests(child: ChildProcess): void {
  alive.add(child)
  child.once('close', () => alive.delete(child))
}
