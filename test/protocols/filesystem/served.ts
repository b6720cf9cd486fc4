/**
 * A folder that is really served over a real session, and what tests look at. Everything is gone
 * when the test is over.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { TrunkError, type Protocol, type Trunk } from '../../../src/index.ts'
import {
  filesystem,
  filesystemClient,
  type FilesystemClient,
  type FilesystemOptions,
} from '../../../protocols/filesystem.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

export interface Served {
  /** The folder that is served, on disk. */
  readonly root: string
  readonly files: FilesystemClient
  /** The side that asks, and the side that serves. */
  readonly near: Trunk
  readonly far: Trunk
}

/** Where files cost no disk: a busy disk must not decide how long a test takes. */
const memoryDisk: string = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A new folder, gone after the test; in memory where that can be had. */
export function temporaryFolder(t: TestContext, parent: string = memoryDisk): string {
  const folder = realpathSync(mkdtempSync(join(parent, 'trunkline-fs-')))
  t.after(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

/** Serves a new folder, or `options.root`. */
export async function serveFolder(
  t: TestContext,
  options: Partial<FilesystemOptions & { root: string }> = {},
): Promise<Served> {
  const root = options.root ?? temporaryFolder(t)
  return { root, ...(await serveProtocol(t, filesystem({ ...options, root }))) }
}

/** A session whose far side serves `protocol`. */
export async function serveProtocol(t: TestContext, protocol: Protocol): Promise<Omit<Served, 'root'>> {
  const [near, far] = await trunkPair({}, { protocols: [protocol] })
  t.after(() => {
    near.abort(new TrunkError('ERR_ABORTED', 'the test is over'))
    far.abort(new TrunkError('ERR_ABORTED', 'the test is over'))
  })
  return { near, far, files: filesystemClient(near) }
}

/** The descriptors of this process that lead into `folder`. */
export function descriptorsIn(folder: string): string[] {
  const held: string[] = []
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      if (path === folder || path.startsWith(`${folder}/`)) held.push(path)
    } catch {
      // the descriptor of the listing itself: closed by now
    }
  }
  return held
}

/** Asserts that `operation` fails with a `TrunkError` of that code, and gives it. */
export async function fails(operation: Promise<unknown>, code: string): Promise<TrunkError> {
  try {
    await operation
  } catch (error) {
    assert.ok(error instanceof TrunkError, String(error))
    assert.equal(error.code, code, error.message)
    return error
  }
  assert.fail(`it succeeded instead of failing with ${code}`)
}

/** Everything that a source gives, in one piece. */
export async function collect(source: AsyncIterable<{ subarray(): Uint8Array }>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const data of source) pieces.push(data.subarray())
  return Buffer.concat(pieces)
}

/** Everything that an iterable gives. */
export async function toArray<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}
