/** `trunkline mkdir`: directories of the peer. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { withFiles } from '../files.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { remotePath, shownRemote } from '../remote-path.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import { each } from '../operand-errors.ts'

/** Adds the command. */
export function addMkdir(program: Command, context: Context): void {
  const command = program
    .command('mkdir')
    .summary('make directories at the peer')
    .description('Make directories at the peer.')
    .argument('<:path...>', 'directories to make')
    .option('-p, --parents', 'make missing parents too; an existing directory is no error')
    .addHelpText('after', '\nExample:\n  $ trunkline mkdir -p :/var/cache/build')
  addPeerOptions(command).action(async (paths: string[], options: PeerOptions & { parents?: boolean }) => {
    const remote = paths.map(remotePath)
    const recursive = options.parents ?? false
    await withFiles(context, options, remote, async (filesAt) => {
      await each(context, remote, shownRemote, (one) => filesAt(one).mkdir(wirePath(one.path), { recursive }))
    })
  })
}
