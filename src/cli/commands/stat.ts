/** `trunkline stat`: what a file of the peer is. */
import type { Command } from 'commander'
import { remotePath, shownRemote } from '../remote-path.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import type { ByteString } from '../../runtime/byte-string.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { atRemote, withFiles } from '../files.ts'
import type { Files } from '../files.ts'
import { formatBytes, formatMode, formatTable, formatTime } from '../format.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { each } from '../operand-errors.ts'

interface StatOptions extends PeerOptions {
  sha256?: boolean
  json?: boolean
}

/** Adds the command. */
export function addStat(program: Command, context: Context): void {
  const command = program
    .command('stat')
    .summary('show type, size, mode and time of files of the peer')
    .description('Show type, size, mode and time of files of the peer.')
    .argument('<:path...>', 'files or directories of the peer')
    .option('--sha256', "add the SHA-256 of each file's bytes")
    .option('--json', 'one JSON object per line')
    .addHelpText('after', '\nExample:\n  $ trunkline stat --sha256 :/var/disk.img')
  addPeerOptions(command).action(async (paths: string[], options: StatOptions) => {
    const remote = paths.map(remotePath)
    await withFiles(context, options, async (files) => {
      await each(context, remote, shownRemote, async (path) => {
        await context.stdout.line(await describe(context, files, path, options))
      })
    })
  })
}

async function describe(context: Context, files: Files, path: ByteString, options: StatOptions): Promise<string> {
  const { signal } = context
  const { type, size, mode, modifiedMs } = await atRemote(path, files.stat(wirePath(path), { signal }))
  const wantsHash = options.sha256 === true && type === 'file'
  const hash = wantsHash ? await atRemote(path, files.sha256(wirePath(path), { signal })) : undefined
  const sha256 = hash === undefined ? undefined : Buffer.from(hash).toString('hex')
  if (options.json === true) return printableJson({ path: printable(path), type, size, mode, modifiedMs, sha256 })
  const rows = [
    ['path', printable(path)],
    ['type', type],
    ['size', size < 1024 ? `${size} B` : `${size} B (${formatBytes(size)})`],
    ['mode', `${(mode & 0o7777).toString(8).padStart(4, '0')} (${formatMode(type, mode)})`],
    ['modified', `${formatTime(modifiedMs)} UTC`],
  ]
  if (sha256 !== undefined) rows.push(['sha256', sha256])
  return formatTable(rows).join('\n')
}
