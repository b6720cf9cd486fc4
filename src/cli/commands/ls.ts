/**
 * `trunkline ls`: names in directories of the peer. Sorted as long as a directory has at most
 * MAX_SORTED entries; a larger one is printed as it comes, so that memory stays bounded whatever
 * the peer lists. Names are bytes: a pipe gets them as they are, a terminal gets nothing that it
 * would obey.
 */
import type { Command } from 'commander'
import { remotePath, shownRemote } from '../remote-path.ts'
import { lastPart, wirePath } from '../../runtime/byte-path.ts'
import { byteString, type ByteString, escapedText, fromBytes, toBytes } from '../../runtime/byte-string.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { asFailure } from '../failure.ts'
import { withFiles } from '../files.ts'
import type { Files } from '../files.ts'
import { formatMode, formatTime } from '../format.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { each } from '../operand-errors.ts'

/** Entries of one directory that are held to be sorted: about 2 MiB. */
const MAX_SORTED = 10_000
/** Digits of a size in a long line: 999 TB. */
const SIZE_WIDTH = 15

/** What listing says of an entry that is no directory. */
const NO_FOLDER: ReadonlySet<string> = new Set(['ERR_NOT_DIRECTORY', 'ERR_SYMLINK', 'ERR_NOT_REGULAR'])

interface LsOptions extends PeerOptions {
  long?: boolean
  json?: boolean
}

interface Entry {
  readonly name: ByteString
  readonly type: string
  readonly size: number
  readonly mode: number
  readonly modifiedMs: number
}

/** Adds the command. */
export function addLs(program: Command, context: Context): void {
  const command = program
    .command('ls')
    .summary('list directories of the peer')
    .description('List directories of the peer.')
    .argument('[:path...]', 'directories or files of the peer', [':/'])
    .option('-l, --long', 'mode, size and time (UTC) before each name')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', '\nExample:\n  $ trunkline ls -l :/var/log')
  addPeerOptions(command).action(async (paths: string[], options: LsOptions) => {
    const remote = paths.map(remotePath)
    await withFiles(context, options, remote, async (filesAt) => {
      let first = true
      await each(context, remote, shownRemote, async (one) => {
        if (remote.length > 1 && options.json !== true)
          await context.stdout.line(`${first ? '' : '\n'}${shownRemote(one)}`)
        first = false
        await listOne(context, filesAt(one), one.path, options)
      })
    })
  })
}

async function listOne(context: Context, files: Files, path: ByteString, options: LsOptions): Promise<void> {
  const held: Entry[] = []
  let sorting = true
  try {
    for await (const entry of files.list(wirePath(path), { signal: context.signal })) {
      const { type, size, mode, modifiedMs } = entry
      held.push({ name: fromBytes(entry.nameBytes), type, size, mode, modifiedMs })
      if (sorting ? held.length > MAX_SORTED : held.length >= 256) {
        sorting = false
        await print(context, held.splice(0), options)
      }
    }
  } catch (error) {
    if (!NO_FOLDER.has(asFailure(error).code)) throw error
    const { type, size, mode, modifiedMs } = await files.stat(wirePath(path), { signal: context.signal })
    if (type === 'directory') throw error
    held.push({ name: lastPart(path), type, size, mode, modifiedMs })
  }
  if (sorting) held.sort((a, b) => Buffer.compare(toBytes(a.name), toBytes(b.name)))
  await print(context, held, options)
}

async function print(context: Context, entries: readonly Entry[], options: LsOptions): Promise<void> {
  if (entries.length === 0) return
  const lines = entries.map((entry) => line(context, entry, options))
  await context.stdout.write(toBytes(byteString(`${lines.join('\n')}\n`)))
}

function line(context: Context, entry: Entry, options: LsOptions): string {
  const { name, type, size, mode, modifiedMs } = entry
  if (options.json === true) return printableJson({ ...jsonName(name), type, size, mode, modifiedMs })
  const slash = type === 'directory' && context.stdout.isTerminal ? '/' : ''
  const text = context.stdout.isTerminal ? printable(name) : escapedText(name)
  const shown = type === 'directory' ? context.colors.blue(text) + slash : text
  if (options.long !== true) return shown
  return `${formatMode(type, mode)} ${String(size).padStart(SIZE_WIDTH)} ${formatTime(modifiedMs)} ${shown}`
}

/** JSON holds text only: a name that is not UTF-8 comes with its bytes in base64. */
function jsonName(name: ByteString): { name: string; nameBase64?: string } {
  const bytes = toBytes(name)
  const text = bytes.toString('utf8')
  return text === escapedText(name) ? { name: text } : { name: text, nameBase64: bytes.toString('base64') }
}
