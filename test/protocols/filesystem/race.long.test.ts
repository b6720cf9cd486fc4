import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, it, type TestContext } from 'node:test'
import { TrunkError } from '../../../src/index.ts'
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import { collect, serveFolder, temporaryFolder, toArray } from './served.ts'

const RACE_MS = 2000
const data = Buffer.from('written by the peer')

/** A root whose `d` is a folder and a link out of it by turns, a thousand times a second. */
async function racing(t: TestContext) {
  const base = temporaryFolder(t)
  const root = join(base, 'root')
  const outside = join(base, 'outside')
  mkdirSync(join(root, 'd'), { recursive: true })
  mkdirSync(outside)
  for (const folder of [join(root, 'd'), outside]) {
    const content = folder === outside ? 'secret' : 'open'
    for (const name of ['f', 'g', 'new', 'only-once']) writeFileSync(join(folder, name), content, { mode: 0o644 })
    mkdirSync(join(folder, 'made'))
    writeFileSync(join(folder, 'made/leaf'), content)
  }
  writeFileSync(join(outside, 'canary'), 'secret')
  const script = fileURLToPath(new URL('swap-links.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, join(root, 'd'), outside], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => {
    child.kill('SIGKILL')
  })
  await once(child.stdout, 'data')
  return { ...(await serveFolder(t, { root })), outside, stop: () => child.kill('SIGKILL') }
}

/** What a hostile peer tries, each on a path through the folder that is swapped. */
function attacks(files: FilesystemClient): Record<string, () => Promise<unknown>> {
  const read = async (path: string): Promise<void> =>
    assert.equal((await collect(files.read(path))).includes('secret'), false)
  return {
    stat: () => files.stat('d/f'),
    read: () => read('d/f'),
    readNew: () => read('d/canary'),
    list: async () =>
      assert.equal(
        (await toArray(files.list('d'))).some((entry) => entry.name === 'canary'),
        false,
      ),
    sha256: () => files.sha256('d/f'),
    write: () => files.write('d/f', Buffer.from('open, new'), { durable: false }),
    writeNew: () => files.write('d/new', data, { durable: false }),
    exclusive: () => files.write('d/only-once', data, { exclusive: true, durable: false }),
    append: () => files.write('d/g', data, { append: true, durable: false }),
    update: () => files.write('d/g', data, { offset: 2, durable: false }),
    mkdir: () => files.mkdir('d/made'),
    mkdirs: () => files.mkdir('d/made/more', { recursive: true }),
    remove: () => files.remove('d/new'),
    removeAgain: () => files.remove('d/only-once'),
    removeTree: () => files.remove('d/made', { recursive: true }),
    removeCanary: () => files.remove('d/canary'),
    moveOut: () => files.rename('d/f', 'moved', { replace: true }),
    moveIn: () => files.rename('moved', 'd/f', { replace: true }),
    setAttributes: () => files.setAttributes('d/f', { mode: 0o640, modifiedMs: 1000 }),
  }
}

/** `done`, or the code. */
async function outcomeOf(attack: () => Promise<unknown>): Promise<string> {
  try {
    await attack()
    return 'done'
  } catch (error) {
    if (error instanceof TrunkError) return error.code
    throw error
  }
}

/** Everything about the folder that nobody may touch. */
function snapshot(folder: string): unknown {
  return ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()].map((name) => {
    const path = join(folder, name)
    const { mode, mtimeMs, ino } = statSync(path)
    return [name, mode, mtimeMs, ino, statSync(path).isFile() ? readFileSync(path, 'utf8') : '']
  })
}

describe('a folder that is swapped for a link while it is used', () => {
  it(
    'lets no operation out of the root [R-082]',
    { skip: process.platform !== 'linux' && 'the walk needs /proc' },
    async (t) => {
      const { files, outside, stop } = await racing(t)
      const before = snapshot(outside)
      const outcomes = new Map<string, number>()
      const deadline = performance.now() + RACE_MS
      const attacker = async ([name, attack]: [string, () => Promise<unknown>]): Promise<void> => {
        while (performance.now() < deadline) {
          const outcome = `${name}: ${await outcomeOf(attack)}`
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        }
      }
      await Promise.all(Object.entries(attacks(files)).map(attacker))
      stop()
      assert.deepEqual(snapshot(outside), before)
      const total = (suffix: string): number =>
        [...outcomes].reduce((sum, [key, count]) => sum + (key.endsWith(suffix) ? count : 0), 0)
      t.diagnostic(`${total('done')} done, ${total('ERR_SYMLINK')} met the link, ${total('')} in all`)
      // otherwise there was no race, and nothing was shown
      assert.ok(total('done') > 20 && total('ERR_SYMLINK') > 5, JSON.stringify([...outcomes]))
    },
  )
})
