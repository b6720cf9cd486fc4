/**
 * Each operation, for ten seconds, against a process that swaps what it walks through for links
 * that lead out of the root.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/index.ts'
import type { FileRequest } from '../../../protocols/filesystem/messages.ts'
import { collect, toArray } from './served.ts'
import { INSIDE, OUTSIDE, OUTSIDE_MS, swappedGround, type Ground } from './swapped-ground.ts'

const RACE_MS = 10_000
const data = Buffer.from(`${INSIDE}, by the peer`)
const atOnce = { durable: false }
const secretDigest = createHash('sha256').update(OUTSIDE).digest('hex')

/** What a peer tries again and again, and how what it has used up is put back. */
interface Attempt {
  run(): Promise<unknown>
  again?(): void
  /** Only a way out could lead there: it never succeeds. */
  hopeless?: true
}

/** By operation: a new one without a race is an error of types. */
function attempts({ files, putBack }: Ground): Record<FileRequest['op'], Record<string, Attempt>> {
  const read = async (path: string): Promise<void> =>
    assert.match(String(await collect(files.read(path))), /^(inside|$)/)
  const readSmall = async (path: string): Promise<void> =>
    assert.match(String(Buffer.from((await files.readSmall(path)) ?? [])), /^(inside|$)/)
  return {
    stat: {
      entry: { run: async () => assert.notEqual((await files.stat('d/f')).modifiedMs, OUTSIDE_MS) },
      below: { run: async () => assert.notEqual((await files.stat('d/sub/leaf')).modifiedMs, OUTSIDE_MS) },
    },
    list: {
      folder: { run: async () => assert.ok((await toArray(files.list('d'))).every(({ name }) => name !== 'canary')) },
      below: {
        run: async () =>
          assert.ok((await toArray(files.list('d/sub'))).every(({ modifiedMs }) => modifiedMs !== OUTSIDE_MS)),
      },
    },
    read: {
      file: { run: () => read('d/read') },
      below: { run: () => read('d/sub/leaf') },
      canary: { run: () => read('d/canary'), hopeless: true },
    },
    readMany: {
      files: { run: () => together(['d/read', 'd/sub/leaf', 'd/f'].map(readSmall)) },
      canary: { run: () => together(['d/canary', 'd/canary'].map(readSmall)), hopeless: true },
    },
    sha256: {
      file: { run: async () => assert.notEqual(hex(await files.sha256('d/hashed')), secretDigest) },
    },
    write: {
      replace: { run: () => files.write('d/replaced', data, atOnce), again: () => putBack.both('replaced') },
      durable: { run: () => files.write('d/sub/durable', data) },
      append: { run: () => files.write('d/appended', data, { append: true, ...atOnce }) },
      update: { run: () => files.write('d/updated', data, { offset: 2, ...atOnce }) },
      create: {
        run: () => files.write('d/new', data, { append: true, ...atOnce }),
        again: () => putBack.noFile('new'),
      },
      exclusive: {
        run: () => files.write('d/once', data, { exclusive: true, ...atOnce }),
        again: () => putBack.noFile('once'),
      },
    },
    writeMany: {
      replace: {
        run: () => together(['d/batched', 'd/sub/batched', 'd/f'].map((path) => files.write(path, data, atOnce))),
        again: () => putBack.both('batched'),
      },
    },
    mkdir: {
      one: { run: () => files.mkdir('d/made', { mode: 0o711 }), again: () => putBack.noFolder('made') },
      path: {
        run: () => files.mkdir('d/sub/deep/er', { recursive: true, mode: 0o711 }),
        again: () => putBack.noPath(),
      },
    },
    remove: {
      file: { run: () => files.remove('d/gone'), again: () => putBack.file('gone') },
      tree: { run: () => files.remove('d/tree', { recursive: true }), again: () => putBack.tree() },
      canary: { run: () => files.remove('d/canary'), hopeless: true },
    },
    rename: {
      out: { run: () => files.rename('d/from', 'moved', { replace: true }), again: () => putBack.file('from') },
      in: { run: () => files.rename('moving', 'd/to', { replace: true }), again: () => putBack.rootFile('moving') },
      canary: { run: () => files.rename('d/canary', 'moved-canary', { replace: true }), hopeless: true },
    },
    setAttributes: {
      file: { run: () => files.setAttributes('d/attributed', { mode: 0o640, modifiedMs: 5000 }) },
      folder: { run: () => files.setAttributes('d/sub', { mode: 0o755, accessedMs: 5000 }) },
    },
  }
}

/** Calls that were made at once: over when all of them are, and failed where one of them has. */
async function together(calls: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(calls)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** `done`, or the code. */
async function outcomeOf(attempt: Attempt): Promise<string> {
  try {
    await attempt.run()
    return 'done'
  } catch (error) {
    if (error instanceof TrunkError) return error.code
    throw error
  }
}

describe('what another process swaps for links that lead out of the root', () => {
  it(
    `lets no operation out, ${RACE_MS / 1000} seconds of each [R-270]`,
    { skip: process.platform !== 'linux' && 'the walk needs /proc' },
    async (t) => {
      const ground = await swappedGround(t)
      const deadline = performance.now() + RACE_MS
      // the first one that got out ends them all: nobody goes on through descriptors that the end
      // of the test gives back
      const broken = new AbortController()
      const race = async (attempt: Attempt): Promise<Map<string, number>> => {
        const outcomes = new Map<string, number>()
        while (performance.now() < deadline && !broken.signal.aborted) {
          attempt.again?.()
          const outcome = await outcomeOf(attempt)
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        }
        return outcomes
      }
      const racing = async (attempt: Attempt): Promise<Map<string, number>> => {
        try {
          return await race(attempt)
        } catch (error) {
          broken.abort(error)
          return new Map()
        }
      }
      const all = Object.entries(attempts(ground)).flatMap(([op, ways]) =>
        Object.entries(ways).map(([way, attempt]) => ({ name: `${op} ${way}`, attempt })),
      )
      const results = await Promise.all(all.map(async (one) => ({ ...one, outcomes: await racing(one.attempt) })))
      const { swaps, outside } = await ground.stop()
      broken.signal.throwIfAborted()
      t.diagnostic(`${swaps} swaps`)
      for (const { name, outcomes } of results) t.diagnostic(`${name}: ${JSON.stringify(Object.fromEntries(outcomes))}`)

      // nothing there was opened, read, listed, made, changed or removed
      assert.deepEqual(outside, [])
      assert.ok(swaps > 1000, `only ${swaps} swaps`)
      for (const { name, attempt, outcomes } of results) {
        // otherwise there was no race, and nothing was shown
        assert.ok((outcomes.get('ERR_SYMLINK') ?? 0) > 0, `${name} never met the link`)
        assert.equal((outcomes.get('done') ?? 0) > 0, attempt.hopeless !== true, name)
      }
    },
  )
})
