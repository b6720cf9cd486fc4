/**
 * Loaded before each test file by test/run.mjs. A test that failed has often not closed what it
 * opened, and its file's process would live on until the runner's time limit, with no word of what
 * had failed. So a file has a time from the end of its last test to its own end; after that its
 * process says what is open, and ends with a status that node:test counts as a failure.
 */
import { after } from 'node:test'

/**
 * Closing sockets, children that are being killed, a terminal that is drained: none takes a quarter
 * of this.
 */
const END_MS = Number(process.env.TRUNKLINE_TEST_END_MS ?? 60_000)

// the runner itself loads this as well, and programs that a test starts
if (process.env.NODE_TEST_CONTEXT !== undefined)
  after(() => {
    const left = () => {
      console.error(
        `the tests of this file have ended, and these keep its process: ${process.getActiveResourcesInfo().join(', ')}`,
      )
      process.exit(1)
    }
    // an own timer keeps no process
    setTimeout(left, END_MS).unref()
  })
