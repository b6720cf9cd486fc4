/**
 * A served root whose folders and files another process swaps for symbolic links that lead out of
 * it, and the folder that they lead to, of which the kernel tells everything that is done there.
 * What the operations use up is put back through descriptors: the test itself must not step out
 * either.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { compiledFixture } from '../../helpers/compiled.ts'
import { watchFolders, type FolderEvent } from '../../helpers/folder-watch.ts'
import { serveFolder, temporaryFolder, type Served } from './served.ts'

/** What the files below the root begin with, and what those outside say. */
export const INSIDE = 'inside'
export const OUTSIDE = 'a secret of somebody else'
/**
 * Modification time of everything outside, in milliseconds: a status that shows it was taken there.
 */
export const OUTSIDE_MS = 1_000_000

/** Names that are a file and a link to a file by turns, below the folder that is itself swapped. */
export type SwappedFile = 'read' | 'hashed' | 'replaced' | 'batched' | 'appended' | 'updated' | 'attributed'
const SWAPPED_FILES: readonly SwappedFile[] = [
  'read',
  'hashed',
  'replaced',
  'batched',
  'appended',
  'updated',
  'attributed',
]

export interface Ground extends Served {
  /** Puts back what an operation has used up; what is there stays. */
  readonly putBack: PutBack
  /** Stops the swapping; gives the number of swaps, and everything that was done outside. */
  stop(): Promise<{ swaps: number; outside: FolderEvent[] }>
}

/**
 * `d` is the folder that is swapped: everything here goes through the descriptor of the real one.
 */
export interface PutBack {
  file(name: string): void
  noFile(name: string): void
  noFolder(name: string): void
  /** `d/sub/deep/er` goes. */
  noPath(): void
  /** `name` and what it is swapped for are a file and a link again. */
  both(name: SwappedFile): void
  /** `d/tree` with `d/tree/sub`, which is swapped. */
  tree(): void
  /** A file of the root, which is not swapped. */
  rootFile(name: string): void
}

/** Makes the ground and starts the swapping. */
export async function swappedGround(t: TestContext): Promise<Ground> {
  const base = temporaryFolder(t)
  const root = join(base, 'root')
  const outside = join(base, 'outside')
  furnish(outside, OUTSIDE)
  writeFileSync(join(outside, 'canary'), OUTSIDE)
  furnish(join(root, 'd'), INSIDE)
  symlinkSync(outside, join(root, 'd.other'))
  for (const name of SWAPPED_FILES) symlinkSync(join(outside, name), join(root, 'd', other(name)))
  symlinkSync(join(outside, 'sub'), join(root, 'd/sub.other'))
  symlinkSync(join(outside, 'tree/sub'), join(root, 'd/tree-sub.other'))
  const watched = [outside, join(outside, 'sub'), join(outside, 'tree'), join(outside, 'tree/sub')] as const
  for (const file of [...SWAPPED_FILES, 'f', 'canary', 'sub/leaf', 'tree/sub/leaf'])
    utimesSync(join(outside, file), OUTSIDE_MS / 1000, OUTSIDE_MS / 1000)
  for (const folder of [...watched].reverse()) utimesSync(folder, OUTSIDE_MS / 1000, OUTSIDE_MS / 1000)

  const real = hold(t, join(root, 'd'))
  const realSub = hold(t, join(root, 'd/sub'))
  const pairs = [
    // every operation goes through this one, so it is swapped the most
    ...Array<string[]>(6).fill([root, 'd', 'd.other']),
    ...SWAPPED_FILES.map((name) => [real, name, other(name)]),
    [real, 'sub', 'sub.other'],
    ...Array<string[]>(3).fill([real, 'tree/sub', 'tree-sub.other']),
  ]
  const watch = await watchFolders(t, watched)
  const swapper = spawn(await compiledFixture('swap'), pairs.flat(), { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(swapper, 'exit')
  t.after(() => swapper.kill('SIGKILL'))
  let said = ''
  swapper.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await Promise.race([once(swapper.stdout, 'data'), exited])
  return {
    ...(await serveFolder(t, { root })),
    putBack: putBackBy(real, realSub, root),
    async stop() {
      swapper.kill('SIGTERM')
      await exited
      return { swaps: Number(said.split('\n')[1]), outside: await watch.stop() }
    },
  }
}

function furnish(folder: string, content: string): void {
  mkdirSync(join(folder, 'tree/sub'), { recursive: true })
  mkdirSync(join(folder, 'sub'))
  for (const name of [...SWAPPED_FILES, 'f', 'sub/leaf', 'tree/sub/leaf']) writeFileSync(join(folder, name), content)
}

/** A path to the very folder that is now at `path`, whatever is put there later. */
function hold(t: TestContext, path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  t.after(() => closeSync(fd))
  return `/proc/${process.pid}/fd/${fd}`
}

function putBackBy(real: string, realSub: string, root: string): PutBack {
  let made = 0
  /** Something new under a name that nobody swaps: it then takes its place in one step. */
  const fresh = (make: (path: string) => void): string => {
    const path = join(real, `fresh-${made++}`)
    make(path)
    return path
  }
  const freshFile = (): string => fresh((path) => writeFileSync(path, INSIDE))
  return {
    file: (name) => renameSync(freshFile(), join(real, name)),
    rootFile: (name) => renameSync(freshFile(), join(root, name)),
    noFile: (name) => quietly(() => unlinkSync(join(real, name))),
    noFolder: (name) => quietly(() => rmdirSync(join(real, name))),
    noPath() {
      quietly(() => rmdirSync(join(realSub, 'deep/er')))
      quietly(() => rmdirSync(join(realSub, 'deep')))
    },
    both(name) {
      const kinds = [name, other(name)].map((entry) => kindOf(join(real, entry)))
      // seen between two swaps they may look alike and not be so: then the next look mends what
      // this one spoils
      if (kinds[0] !== kinds[1]) return
      const outside = join(root, '../outside', name)
      renameSync(
        kinds[0] === 'link' ? freshFile() : fresh((path) => symlinkSync(outside, path)),
        join(real, other(name)),
      )
    },
    tree() {
      quietly(() => mkdirSync(join(real, 'tree')))
      if (kindOf(join(real, 'tree/sub')) !== 'nothing') return
      // with one of the two gone nothing is swapped: what is left of them stays what it is
      const folder = (path: string): void => {
        mkdirSync(path)
        for (const name of ['leaf', 'more']) writeFileSync(join(path, name), INSIDE)
      }
      const link = (path: string): void => symlinkSync(join(root, '../outside/tree/sub'), path)
      renameSync(fresh(kindOf(join(real, 'tree-sub.other')) === 'link' ? folder : link), join(real, 'tree/sub'))
    },
  }
}

function other(name: string): string {
  return `${name}.other`
}

function kindOf(path: string): 'nothing' | 'link' | 'else' {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return stats === undefined ? 'nothing' : stats.isSymbolicLink() ? 'link' : 'else'
}

/** For what may be gone, or there, already. */
function quietly(step: () => void): void {
  try {
    step()
  } catch (error) {
    if (!['ENOENT', 'EEXIST', 'ENOTDIR', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
