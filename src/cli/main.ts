#!/usr/bin/env node
/** The `trunkline` command: what connects src/cli/run.ts to the real process. */
import { processContext } from './context.ts'
import { leave, removeTemporaries } from './leave.ts'
import { run } from './run.ts'
import { handleSignals } from './signals.ts'

const temporaries = new Set<Buffer>()
const context = processContext(
  handleSignals(() => removeTemporaries({ temporaries })),
  temporaries,
)
await leave(context, await run(process.argv.slice(2), context))
