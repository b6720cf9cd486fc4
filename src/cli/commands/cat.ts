/** `trunkline cat`: files of the peer to standard output. */
import type { Command } from 'commander'
import { pipe } from 'it-pipe'
import type { Bytes } from '../../index.ts'
import type { Context } from '../context.ts'
import { withFiles } from '../files.ts'
import type { Files } from '../files.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { remotePath, shownRemote } from '../remote-path.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import type { ByteString } from '../../runtime/byte-string.ts'
import { each } from '../operand-errors.ts'

/** Adds the command. */
export function addCat(program: Command, context: Context): void {
  const command = program
    .command('cat')
    .summary('write files of the peer to standard output')
    .description('Write files of the peer to standard output.')
    .argument('<:path...>', 'files of the peer')
    .addHelpText('after', '\nExample:\n  $ trunkline cat :/etc/os-release')
  addPeerOptions(command).action(async (paths: string[], options: PeerOptions) => {
    const remote = paths.map(remotePath)
    await withFiles(context, options, remote, async (filesAt) => {
      await each(context, remote, shownRemote, (one) => printFile(context, filesAt(one), one.path))
    })
  })
}

async function printFile(context: Context, files: Files, path: ByteString): Promise<void> {
  await pipe(files.read(wirePath(path), { signal: context.signal }), (source) => print(context, source))
}

async function print(context: Context, source: AsyncIterable<Bytes>): Promise<void> {
  for await (const bytes of source) await context.stdout.write(bytes)
}
