#!/usr/bin/env node
/** The `trunkline` command: what connects src/cli/run.ts to the real process. */
import { rmSync } from 'node:fs'
import { processContext } from './context.ts'
import { run } from './run.ts'
import { handleSignals } from './signals.ts'

const temporaries = new Set<Buffer>()
const signal = handleSignals(() => {
  for (const path of temporaries) {
    try {
      rmSync(path, { recursive: true, force: true })
    } catch {
      // The process ends in this moment, and nobody is left to do anything about it.
    }
  }
})

process.exitCode = await run(process.argv.slice(2), processContext(signal, temporaries))
