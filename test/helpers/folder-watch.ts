/**
 * What is done to a folder, by whomever: told by the kernel (test/fixtures/watch.c), so that
 * nothing is missed between two looks.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { compiledFixture } from './compiled.ts'
import { eventually } from './eventually.ts'

/** Bits of an event's mask that tests ask for. */
export const OPENED = 0x20

/** One thing that was done. */
export interface FolderEvent {
  /** The folder, as it was given. */
  readonly folder: string
  /** The kernel's: {@link OPENED} and others. */
  readonly mask: number
  /** The entry of the folder; `''` is the folder itself. */
  readonly name: string
}

/** A watch that runs. */
export interface FolderWatch {
  /**
   * Stops, and gives everything that was done to the folders and their entries until now, in order.
   */
  stop(): Promise<FolderEvent[]>
}

/**
 * The last thing that is done while a watch runs: when its event has come, all the earlier ones
 * have.
 */
const LAST = '.last-of-the-watch'

/** Watches `folders`, not what is deeper in them, until the test is over. */
export async function watchFolders(t: TestContext, folders: readonly [string, ...string[]]): Promise<FolderWatch> {
  const child = spawn(await compiledFixture('watch'), folders, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await Promise.race([once(child.stdout, 'data'), exited])
  if (!text.startsWith('watching\n')) throw new Error('the folders cannot be watched')
  return {
    async stop() {
      writeFileSync(join(folders[0], LAST), '')
      await eventually(() => text.includes(LAST), 'the watch has told all')
      child.kill('SIGKILL')
      await exited
      return text
        .slice(0, text.lastIndexOf('\n'))
        .split('\n')
        .slice(1)
        .map((line): FolderEvent => {
          const [number, mask, ...name] = line.split(' ')
          return {
            folder: folders[Number(number) - 1] ?? '',
            mask: Number.parseInt(mask ?? '', 16),
            name: name.join(' '),
          }
        })
        .filter(({ name }) => name !== LAST)
    },
  }
}
