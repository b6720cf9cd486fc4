/** `trunkline mv`: renames at the peer; onto an existing directory it moves into it, as mv does. */
import type { Command } from 'commander'
import { remotePath, shownRemote } from '../remote-path.ts'
import { joinPath, lastPart, wirePath } from '../../runtime/byte-path.ts'
import { printable } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { usageError } from '../failure.ts'
import { at, isSamePeer, withFiles } from '../files.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { remoteType } from '../copy/remote-type.ts'

/** Adds the command. */
export function addMv(program: Command, context: Context): void {
  const command = program
    .command('mv')
    .summary('rename or move a file of the peer')
    .description('Rename or move a file or directory of the peer.')
    .argument('<:from>', 'what to rename')
    .argument('<:to>', 'its new name, or an existing directory to move it into')
    .option('-n, --no-replace', 'fail where a file of the new name exists')
    .addHelpText('after', '\nExample:\n  $ trunkline mv :/inbox/report.pdf :/done/')
  addPeerOptions(command).action(async (from: string, to: string, options: PeerOptions & { replace: boolean }) => {
    const source = remotePath(from)
    const target = remotePath(to)
    const part = printable(lastPart(source.path))
    if (part === '') throw usageError('the root cannot be renamed')
    if (part === '.') throw usageError(`${shownRemote(source)} is no name that can be changed`)
    if (!isSamePeer(context, options, source, target))
      throw usageError(
        `${shownRemote(source)} and ${shownRemote(target)} are at two peers, and a rename is within one: use cp, then rm`,
      )
    await withFiles(context, options, [source], async (filesAt) => {
      const files = filesAt(source)
      const into = (await remoteType(files, target.path)) === 'directory'
      const name = into ? joinPath(target.path, lastPart(source.path)) : target.path
      const renamed = files.rename(wirePath(source.path), wirePath(name), { replace: options.replace })
      await at(shownRemote(source), renamed)
    })
  })
}
