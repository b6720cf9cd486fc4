/** `trunkline rm`: removes files of the peer, and directories with `-r`. */
import type { Command } from 'commander'
import { printable } from '../byte-string.ts'
import type { ByteString } from '../byte-string.ts'
import type { Context } from '../context.ts'
import { asFailure, usageError } from '../failure.ts'
import { atRemote, withFiles } from '../files.ts'
import type { Files } from '../files.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { lastPart, remotePath, shownRemote, wirePath } from '../remote-path.ts'

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
    const dot = remote.find((path) => printable(lastPart(path)) === '.')
    // `DIR/.` means what is in DIR, which is not what would go.
    if (dot !== undefined) throw usageError(`${shownRemote(dot)} is no name that can be removed`)
    await withFiles(context, options, async (files) => {
      for (const path of remote) await removeOne(files, path, options)
    })
  })
}

async function removeOne(files: Files, path: ByteString, options: RmOptions): Promise<void> {
  try {
    await atRemote(path, files.remove(wirePath(path), { recursive: options.recursive ?? false }))
  } catch (error) {
    if (options.force === true && asFailure(error).code === 'ERR_NOT_FOUND') return
    throw error
  }
}
