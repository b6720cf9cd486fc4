/**
 * `trunkline cp`: files and directories, both ways; one side is the peer's, the other is local or
 * standard input or output.
 */
import type { Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import type { Command } from 'commander'
import {
  download as copyDown,
  upload as copyUp,
  type CopyOptions,
  type FilesystemClient,
} from '../../../protocols/filesystem.ts'
import { TrunkError } from '../../index.ts'
import { isName, joinPath, lastPart, saysFolder, wirePath } from '../../runtime/byte-path.ts'
import { fromBytes, toBytes, type ByteString } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import { statIfThere } from '../../runtime/stat-if-there.ts'
import { raced } from '../context.ts'
import type { Context } from '../context.ts'
import { counted, shownBy } from '../copy/counted.ts'
import { remoteType } from '../copy/remote-type.ts'
import { downloadSpecial, uploadSpecial, type SpecialCopy } from '../copy/special.ts'
import { readDescriptor } from '../descriptor/input.ts'
import { about, usageError } from '../failure.ts'
import { atRemote, withFiles } from '../files.ts'
import { OperandErrors } from '../operand-errors.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { startProgress } from '../progress.ts'
import { parseEndpoint, shownRemote, type Endpoint } from '../remote-path.ts'

/** One run of `cp`. */
interface CopyJob extends SpecialCopy {
  /** The client whose calls an interrupt does not end by itself: the copy does. */
  readonly peer: FilesystemClient
}

interface CpOptions extends PeerOptions {
  recursive?: boolean
}

/** Adds the command. */
export function addCp(program: Command, context: Context): void {
  const command = program
    .command('cp')
    .summary('copy files and directories to the peer or from it')
    .description('Copy files to the peer or from it. The path of the peer starts with a colon.')
    .argument('<src>', 'what to copy: PATH, :PATH or - (standard input)')
    .argument('<dst>', 'where to: :PATH, PATH or - (standard output)')
    .option('-r, --recursive', 'copy directories and what is in them')
    .addHelpText('after', '\nInto an existing directory it copies inside, as cp does; DIR/. means what is in DIR.')
    .addHelpText('after', 'Example:\n  $ trunkline cp -r ./site :/var/www')
  addPeerOptions(command).action((src: string, dst: string, options: CpOptions) => cp(context, src, dst, options))
}

async function cp(context: Context, src: string, dst: string, options: CpOptions): Promise<void> {
  const source = parseEndpoint(src)
  const target = parseEndpoint(dst)
  const recursive = options.recursive ?? false
  if ((source.type === 'remote') === (target.type === 'remote')) {
    throw usageError('exactly one side is the peer’s: its path starts with a colon, as in cp file :/tmp')
  }
  if (recursive && (source.type === 'standard' || target.type === 'standard')) {
    throw usageError('a directory cannot be copied from standard input or to standard output')
  }
  const label = source.type === 'standard' ? 'standard input' : labelOf(source.path)
  await withFiles(context, options, async (files, peer) => {
    const toTerminal = target.type === 'standard' && context.stdout.isTerminal
    const job: CopyJob = { context, files, peer, progress: startProgress(context, label, !toTerminal) }
    try {
      if (target.type === 'remote') await upload(job, source, target.path, recursive)
      else if (source.type === 'remote') await download(job, source.path, target, recursive)
    } finally {
      job.progress.stop()
    }
  })
}

async function upload(job: CopyJob, source: Endpoint, target: ByteString, recursive: boolean): Promise<void> {
  if (source.type !== 'local') {
    const { context, files, progress } = job
    const bytes = counted(progress, readDescriptor(context, { fd: context.stdin, name: 'standard input' }))
    await atRemote(
      target,
      files.write(wirePath(target), bytes, { signal: context.signal }).then(() => undefined),
    )
    return
  }
  const local = source.path
  const found = await at(local, raced(job.context, existing(local)))
  const isDirectory = found.isDirectory()
  requireRecursive(isDirectory, recursive, printable(local))
  const remote = intoFolder(target, local, (await remoteType(job.files, target)) === 'directory')
  requireFileName(remote, isDirectory, shownRemote(remote))
  if (isDirectory || found.isFile())
    await reported(job, (options) => copyUp(job.peer, toBytes(local), wirePath(remote), options))
  else await uploadSpecial(job, local, remote).catch(blame(printable(local), shownRemote(remote)))
}

async function download(job: CopyJob, remote: ByteString, target: Endpoint, recursive: boolean): Promise<void> {
  const { context, files, progress } = job
  if (target.type !== 'local') {
    const bytes = counted(progress, files.read(wirePath(remote), { signal: context.signal }))
    for await (const chunk of named(shownRemote(remote), bytes)) await context.stdout.write(chunk)
    return
  }
  const status = await atRemote(remote, files.stat(wirePath(remote), { signal: context.signal }))
  const isDirectory = status.type === 'directory'
  requireRecursive(isDirectory, recursive, shownRemote(remote))
  const there = await at(target.path, raced(context, statIfThere(toBytes(target.path))))
  const local = intoFolder(target.path, remote, there?.isDirectory() === true)
  requireFileName(local, isDirectory, printable(local))
  const inPlace = isDirectory ? undefined : await at(local, raced(context, statIfThere(toBytes(local))))
  if (inPlace === undefined || inPlace.isFile())
    await reported(job, (options) => copyDown(job.peer, wirePath(remote), toBytes(local), { ...options, stat: status }))
  else await downloadSpecial(job, remote, local, inPlace.isFIFO()).catch(blame(printable(local), shownRemote(remote)))
}

/** A line for each entry that was not copied, and one failure for all of them at the end. */
async function reported(job: CopyJob, copy: (options: CopyOptions) => Promise<unknown>): Promise<void> {
  const { context, progress } = job
  const errors = new OperandErrors(context, progress)
  await copy({
    signal: context.signal,
    clock: context.clock,
    ...shownBy(progress),
    onAbandoned: (work) => context.owner.leave(work),
    temporaries: context.temporaries,
    onFailure({ side, path, error }) {
      const name = fromBytes(path)
      errors.report(side === 'remote' ? shownRemote(name) : printable(name), error)
    },
  })
  errors.finish()
}

async function at<T>(path: ByteString, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw about(printable(path), error)
  }
}

/** What is there; a link to nowhere is itself. */
async function existing(path: ByteString): Promise<Stats> {
  return (await statIfThere(toBytes(path))) ?? (await lstat(toBytes(path)))
}

function requireRecursive(isDirectory: boolean, recursive: boolean, path: string): void {
  if (isDirectory && !recursive) throw new TrunkError('ERR_IS_DIRECTORY', `${path}: it is a directory; copy it with -r`)
}

/** What the progress of a copy is called. */
function labelOf(path: ByteString): string {
  return printable(lastPart(path)) || printable(path)
}

/** `new-name/` and `new-name/.` can be a directory's name, not a file's. */
function requireFileName(path: ByteString, isDirectory: boolean, shown: string): void {
  if (!isDirectory && saysFolder(path))
    throw new TrunkError('ERR_NOT_DIRECTORY', `${shown}: there is no such directory`)
}

/**
 * As cp: onto an existing directory means into it, under the same name. What has no name of its own
 * (`:/`, `dir/.`) goes in as it is.
 */
function intoFolder(target: ByteString, source: ByteString, targetIsFolder: boolean): ByteString {
  const name = lastPart(source)
  if (!targetIsFolder || !isName(name)) return target
  return joinPath(target, name)
}

/**
 * For `catch`: names the side that failed. The peer's errors come with codes, this machine's with
 * the system's own.
 */
function blame(local: string, remote: string): (error: unknown) => never {
  return (error) => {
    throw about(error instanceof TrunkError ? remote : local, error)
  }
}

async function* named<T>(subject: string, chunks: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* chunks
  } catch (error) {
    throw about(subject, error)
  }
}
