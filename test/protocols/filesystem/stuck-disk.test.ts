/** Copies from and to a disk that answers no more: an interrupt ends them all the same. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { download, upload, type CopyOptions, type FilesystemClient } from '../../../protocols/filesystem.ts'
import { eventually } from '../../helpers/eventually.ts'
import { pattern } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'
import { stickDisk } from '../../helpers/stuck-disk.ts'
import { descriptorsIn, serveFolder, temporaryFolder } from './served.ts'

noStrayRejections()

/** More than a file has that is read and written with synchronous calls. */
const LARGE_BYTES = 300_000

/** A copy, of which `stick` has to be called before the disk sticks. */
type Copy = (files: FilesystemClient, stick: () => void, options: CopyOptions) => Promise<unknown>

/**
 * Runs `copy`, in which the disk sticks, and interrupts it. Resolves when the disk has answered at
 * last, to what was left then.
 */
async function interruptedBy(t: TestContext, copy: Copy): Promise<void> {
  const { files } = await serveFolder(t)
  const stop = new AbortController()
  const abandoned: Promise<unknown>[] = []
  const reason = new Error('enough')
  let ended: Promise<void> | undefined
  let free: () => void = () => undefined
  t.after(() => free())
  const stuck = new Promise<void>((resolve) => {
    const stick = (): void => {
      free = stickDisk()
      resolve()
    }
    const copying = copy(files, stick, { signal: stop.signal, onAbandoned: (work) => abandoned.push(work) })
    ended = assert.rejects(copying, { cause: reason })
  })
  await stuck
  // what is asked of the disk next is asked in a few turns
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  stop.abort(reason)
  await ended
  free()
  await Promise.allSettled(abandoned)
}

describe('a copy whose disk answers no more', { timeout: 20_000 }, () => {
  for (const measure of [false, true]) {
    it(`ends with an interrupt while it lists${measure ? ' and measures' : ''} a tree here [R-825]`, async (t) => {
      const here = temporaryFolder(t)
      mkdirSync(join(here, 'deep'))
      for (let i = 0; i < 50; i++) writeFileSync(join(here, 'deep', `${i}`), 'content')
      await interruptedBy(t, (files, stick, options) => {
        const mkdir: FilesystemClient['mkdir'] = async (...args) => {
          await files.mkdir(...args)
          stick()
        }
        return upload({ ...files, mkdir }, here, 'copy', { ...options, measure })
      })
      await eventually(() => descriptorsIn(here).length === 0, 'the folder is closed')
    })
  }

  const made: Record<string, (files: FilesystemClient) => Promise<unknown>> = {
    'file of the copy': (files) => files.write('tree/large', pattern(LARGE_BYTES)),
    // a directory that is called as the target is could be the target
    'file that tells the target from the source': (files) => files.mkdir('tree/copy'),
  }
  for (const [what, makeSource] of Object.entries(made)) {
    it(`leaves no ${what} that is made here when the disk answers again [R-825]`, async (t) => {
      const here = temporaryFolder(t)
      await interruptedBy(t, async (files, stick, options) => {
        await files.mkdir('tree')
        await makeSource(files)
        const list: FilesystemClient['list'] = async function* (...args) {
          for await (const entry of files.list(...args)) {
            stick()
            yield entry
          }
        }
        await download({ ...files, list }, 'tree', join(here, 'copy'), options)
      })
      assert.deepEqual(readdirSync(join(here, 'copy')), [])
      await eventually(() => descriptorsIn(here).length === 0, 'the file is closed')
    })
  }
})
