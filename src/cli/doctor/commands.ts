/** What this machine has to start commands for peers with: the addon, and the keeper at work. */
import { TrunkError } from '../../index.ts'
import { keeperStatus } from '../../../protocols/exec/keeper/find-keeper.ts'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import type { Launched } from '../../../protocols/exec/launch.ts'
import { nativeStatus } from '../../native/load.ts'
import { note, ok, problem, type Findings } from './findings.ts'

const WITHOUT = [
  'Commands are started by spawn (tree: group): what calls setsid leaves its tree, nothing ends it',
  'where the server is killed, and users, limits and terminals are refused.',
]

/** Everything about commands that can be told without a peer. */
export async function* examineCommands(signal: AbortSignal): Findings {
  const addon = nativeStatus()
  yield 'problem' in addon ? note('addon', addon.problem) : ok('addon', 'the native addon loads')
  const found = keeperStatus()
  if ('problem' in found) {
    yield note('keeper', found.problem, ...WITHOUT)
    return true
  }
  yield ok('keeper', 'the keeper runs, and is of this release')
  try {
    const tree = await triedOut(found.file, signal)
    yield tree === 'group'
      ? note('tree', 'the keeper sees no processes: /proc is not mounted, or shows others alone', ...WITHOUT)
      : ok('tree', `a command was started and ended by it (tree: ${tree})`)
    return true
  } catch (error) {
    if (!(error instanceof TrunkError)) throw error
    yield problem('tree', `the keeper starts no command: ${error.message} (${error.code})`)
    return false
  }
}

/** Has a keeper start the one program that is surely there, which is itself. */
async function triedOut(file: string, signal: AbortSignal): Promise<Launched['tree']> {
  const launcher = keeperLauncher({ file })
  const launched = await launcher?.launch(
    {
      file: Buffer.from(file),
      argv: [Buffer.from('keeper'), Buffer.from('--version')],
      env: [],
      directory: Buffer.from('/'),
      stdin: 'none',
      stdout: 'none',
      stderr: 'none',
      noNewPrivileges: true,
    },
    signal,
  )
  const ended = await launched?.ended
  await launched?.empty()
  if (launched === undefined || ended?.code !== 0)
    throw new TrunkError('ERR_IO', 'the command ended with no status of its own')
  return launched.tree
}
