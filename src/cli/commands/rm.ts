/** `trunkline rm`: removes files of the peer, and directories with `-r`. */
import type { Command } from 'commander'
import { remotePath, shownRemote } from '../remote-path.ts'
import { lastPart, wirePath } from '../../runtime/byte-path.ts'
import type { ByteString } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { asFailure, usageError } from '../failure.ts'
import { withFiles } from '../files.ts'
import type { Files } from '../files.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { removeTree } from '../remove-tree.ts'
import { each } from '../operand-errors.ts'
import type { OperandErrors } from '../operand-errors.ts'

interface RmOptions extends PeerOptions {
  recursive?: boolean
  force?: boolean
}

/** Adds the command. */
export function addRm(program: Command, context: Context): void {
  const command = program
    .command('rm')
    .summary('remove files of the peer')
    .description('Remove files of the peer.')
    .argument('<:path...>', 'what to remove')
    .option('-r, --recursive', 'remove directories and what is in them')
    .option('-f, --force', 'a path that does not exist is no error')
    .addHelpText('after', '\nExample:\n  $ trunkline rm -r :/tmp/build')
  addPeerOptions(command).action(async (paths: string[], options: RmOptions) => {
    const remote = paths.map(remotePath)
    const dot = remote.find(({ path }) => printable(lastPart(path)) === '.')
    // `DIR/.` means what is in DIR, which is not what would go.
    if (dot !== undefined) throw usageError(`${shownRemote(dot)} is no name that can be removed`)
    await withFiles(context, options, remote, async (filesAt) => {
      await each(context, remote, shownRemote, (one, errors) => removeOne(filesAt(one), one.path, options, errors))
    })
  })
}

async function removeOne(files: Files, path: ByteString, options: RmOptions, errors: OperandErrors): Promise<void> {
  try {
    const { type } = await files.stat(wirePath(path))
    if (options.recursive === true && type === 'directory') await removeTree(files, path, errors)
    else await files.remove(wirePath(path))
  } catch (error) {
    if (options.force !== true || asFailure(error).code !== 'ERR_NOT_FOUND') throw error
  }
}
