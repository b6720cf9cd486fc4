/** `trunkline stat`: what a file of the peer is. */
import type { Command } from 'commander'
import { remotePath, shownRemote } from '../remote-path.ts'
import type { Remote } from '../remote-path.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { at, withFiles } from '../files.ts'
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
    await withFiles(context, options, remote, async (filesAt) => {
      await each(context, remote, shownRemote, async (one) => {
        await context.stdout.line(await describe(context, filesAt(one), one, options))
      })
    })
  })
}

async function describe(context: Context, files: Files, remote: Remote, options: StatOptions): Promise<string> {
  const { peer, path } = remote
  const { signal } = context
  const { type, size, mode, modifiedMs } = await at(files.shown(path), files.stat(wirePath(path), { signal }))
  const wantsHash = options.sha256 === true && type === 'file'
  const hash = wantsHash ? await at(files.shown(path), files.sha256(wirePath(path), { signal })) : undefined
  const sha256 = hash === undefined ? undefined : Buffer.from(hash).toString('hex')
  if (options.json === true) return printableJson({ peer, path: printable(path), type, size, mode, modifiedMs, sha256 })
  const rows = [
    ['path', peer === undefined ? printable(path) : shownRemote(remote)],
    ['type', type],
    ['size', size < 1024 ? `${size} B` : `${size} B (${formatBytes(size)})`],
    ['mode', `${(mode & 0o7777).toString(8).padStart(4, '0')} (${formatMode(type, mode)})`],
    ['modified', `${formatTime(modifiedMs)} UTC`],
  ]
  if (sha256 !== undefined) rows.push(['sha256', sha256])
  return formatTable(rows).join('\n')
}
