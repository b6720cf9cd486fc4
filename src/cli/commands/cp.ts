/**
 * `trunkline cp`: files and directories, both ways, or from one peer to another through us; of two
 * sides one at least is a peer's.
 */
import type { Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import type { Command } from 'commander'
import { download as copyDown, upload as copyUp, type CopyOptions } from '../../../protocols/filesystem.ts'
import { between } from '../../../protocols/filesystem/copy/copy.ts'
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
import { at, isSamePeer, withFiles, type Files } from '../files.ts'
import { OperandErrors } from '../operand-errors.ts'
import { addPeerOptions } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'
import { startProgress } from '../progress.ts'
import { parseEndpoint, type Endpoint, type Remote } from '../remote-path.ts'

/** One run of `cp`. */
interface CopyJob extends SpecialCopy {
  readonly files: Files
}

/** Where a copy from one peer to another begins and ends. */
interface Relay {
  readonly from: ByteString
  readonly target: Files
  readonly to: ByteString
  readonly atOnePeer: boolean
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
    .argument('<src>', 'what to copy: PATH, :PATH, NAME:PATH or - (standard input)')
    .argument('<dst>', 'where to: :PATH, NAME:PATH, PATH or - (standard output)')
    .option('-r, --recursive', 'copy directories and what is in them')
    .addHelpText('after', '\nInto an existing directory it copies inside, as cp does; DIR/. means what is in DIR.')
    .addHelpText('after', 'Example:\n  $ trunkline cp -r ./site :/var/www')
  addPeerOptions(command).action((src: string, dst: string, options: CpOptions) => cp(context, src, dst, options))
}

async function cp(context: Context, src: string, dst: string, options: CpOptions): Promise<void> {
  const source = parseEndpoint(src)
  const target = parseEndpoint(dst)
  const recursive = options.recursive ?? false
  if (source.type !== 'remote' && target.type !== 'remote') {
    throw usageError('one side is a peer’s: its path has a colon, as in cp file :/tmp or cp file NAME:/tmp')
  }
  if (recursive && (source.type === 'standard' || target.type === 'standard')) {
    throw usageError('a directory cannot be copied from standard input or to standard output')
  }
  const label = source.type === 'standard' ? 'standard input' : labelOf(source.path)
  const peers = [source, target].filter((side) => side.type === 'remote')
  await withFiles(context, options, peers, async (filesAt) => {
    const files = filesAt(source.type === 'remote' ? source : (target as Remote))
    const toTerminal = target.type === 'standard' && context.stdout.isTerminal
    const job: CopyJob = { context, files, progress: startProgress(context, label, !toTerminal) }
    try {
      if (source.type !== 'remote') await upload(job, source, (target as Remote).path, recursive)
      else if (target.type !== 'remote') await download(job, source.path, target, recursive)
      else {
        const ends = { from: source.path, target: filesAt(target), to: target.path }
        await relay(job, { ...ends, atOnePeer: isSamePeer(context, options, source, target) }, recursive)
      }
    } finally {
      job.progress.stop()
    }
  })
}

async function upload(job: CopyJob, source: Endpoint, target: ByteString, recursive: boolean): Promise<void> {
  if (source.type !== 'local') {
    const { context, files, progress } = job
    const bytes = counted(progress, readDescriptor(context, { fd: context.stdin, name: 'standard input' }))
    await at(
      files.shown(target),
      files.write(wirePath(target), bytes, { signal: context.signal }).then(() => undefined),
    )
    return
  }
  const local = source.path
  const found = await at(printable(local), raced(job.context, existing(local)))
  const isDirectory = found.isDirectory()
  requireRecursive(isDirectory, recursive, printable(local))
  const remote = intoFolder(target, local, (await remoteType(job.files, target)) === 'directory')
  requireFileName(remote, isDirectory, job.files.shown(remote))
  if (isDirectory || found.isFile())
    await reported(job, job.files, (options) => copyUp(job.files.own, toBytes(local), wirePath(remote), options))
  else await uploadSpecial(job, local, remote).catch(blame(printable(local), job.files.shown(remote)))
}

async function download(job: CopyJob, remote: ByteString, target: Endpoint, recursive: boolean): Promise<void> {
  const { context, files, progress } = job
  if (target.type !== 'local') {
    const bytes = counted(progress, files.read(wirePath(remote), { signal: context.signal }))
    for await (const chunk of named(files.shown(remote), bytes)) await context.stdout.write(chunk)
    return
  }
  const status = await at(files.shown(remote), files.stat(wirePath(remote), { signal: context.signal }))
  const isDirectory = status.type === 'directory'
  requireRecursive(isDirectory, recursive, files.shown(remote))
  const there = await at(printable(target.path), raced(context, statIfThere(toBytes(target.path))))
  const local = intoFolder(target.path, remote, there?.isDirectory() === true)
  requireFileName(local, isDirectory, printable(local))
  const inPlace = isDirectory ? undefined : await at(printable(local), raced(context, statIfThere(toBytes(local))))
  if (inPlace === undefined || inPlace.isFile())
    await reported(job, files, (options) =>
      copyDown(job.files.own, wirePath(remote), toBytes(local), { ...options, stat: status }),
    )
  else await downloadSpecial(job, remote, local, inPlace.isFIFO()).catch(blame(printable(local), files.shown(remote)))
}

/** From one peer to another. */
async function relay(job: CopyJob, { from, target, to, atOnePeer }: Relay, recursive: boolean): Promise<void> {
  const { files } = job
  const status = await at(files.shown(from), files.stat(wirePath(from)))
  const isDirectory = status.type === 'directory'
  requireRecursive(isDirectory, recursive, files.shown(from))
  const name = intoFolder(to, from, (await remoteType(target, to)) === 'directory')
  requireFileName(name, isDirectory, target.shown(name))
  await reported(
    job,
    files,
    (options) =>
      between(files.own, wirePath(from), target.own, wirePath(name), { ...options, stat: status, atOnePeer }),
    (path) => target.shown(path),
  )
}

/** A line for each entry that was not copied, and one failure for all of them at the end. */
async function reported(
  job: CopyJob,
  remote: Files,
  copy: (options: CopyOptions) => Promise<unknown>,
  local: (path: ByteString) => string = printable,
): Promise<void> {
  const { context, progress } = job
  const errors = new OperandErrors(context, progress)
  const shown = (side: 'local' | 'remote', path: Uint8Array): string =>
    side === 'remote' ? remote.shown(fromBytes(path)) : local(fromBytes(path))
  await copy({
    signal: context.signal,
    clock: context.clock,
    ...shownBy(progress),
    onAbandoned: (work) => context.owner.leave(work),
    temporaries: context.temporaries,
    shown,
    onFailure({ side, path, error }) {
      errors.report(shown(side, path), error)
    },
  })
  errors.finish()
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
