/** The `trunkline` command: what connects src/cli/run.ts to the real process. */
import { processContext } from './context.ts'
import { lastWords } from './last-words.ts'
import { leave, removeTemporaries } from './leave.ts'
import { run } from './run.ts'
import { handleSignals } from './signals.ts'

const temporaries = new Set<Buffer>()
const context = processContext(
  handleSignals(() => {
    lastWords()
    removeTemporaries({ temporaries })
  }),
  temporaries,
)

// What Node says of a program whose wait never ends; none of ours is known.
process.exitCode = 13
void run(process.argv.slice(2), context).then((status) => leave(context, status))
