/**
 * Copies of trees that are cut: by the line, by the user, by the death of the program. Wherever it
 * happens, each file is the old one or the new one, and nothing unfinished lies about.
 */
import assert from 'node:assert/strict'
import { closeSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesystem } from '../../../protocols/filesystem.ts'
import { openAnonymous } from '../../../protocols/filesystem/anonymous-file.ts'
import type { Context } from '../../../src/cli/context.ts'
import { run } from '../../../src/cli/run.ts'
import { serve, TrunkError } from '../../../src/index.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { start, serving, type Running } from '../../helpers/command-line.ts'
import { eventually } from '../../helpers/eventually.ts'
import { faultProxy, proxyTarget, type FaultProxy, type FaultProxyOptions } from '../../helpers/fault-proxy.ts'
import { pattern } from '../../helpers/protocols.ts'
import { Random } from '../../sim/random.ts'
import { temporaryFolder } from './served.ts'

const SEED = Number(process.env.TRUNKLINE_SEED ?? Math.floor(Math.random() * 1e9))
const REPLAY = `replay: TRUNKLINE_SEED=${SEED} node test/run.mjs filesystem/cut-copies`
const ROUNDS = 40

/** The new tree; what it is copied over has the same names and says `old`. */
const FILES = { one: 10, 'a/two': 200_000, 'a/b/three': 70_000, 'a/b/four': 0, five: 1_000_000 }
/** What a file of {@link FILES} holds. */
const content = (name: string): Buffer => pattern(FILES[name as keyof typeof FILES], name.length)

function makeTree(folder: string, of: (name: string) => Uint8Array | string): void {
  mkdirSync(join(folder, 'a/b'), { recursive: true })
  for (const name of Object.keys(FILES)) writeFileSync(join(folder, name), of(name))
}

/** Says what is wrong with a tree that was being copied; gives the number of its new files. */
function inspect(folder: string, where: string): number {
  let copied = 0
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) continue
    assert.ok(Object.hasOwn(FILES, name), `${where}: ${name} lies about`)
    const found = readFileSync(path)
    if (found.equals(content(name))) copied++
    else assert.equal(found.toString().slice(0, 10), 'old', `${where}: ${name} is neither the old nor the new one`)
  }
  return copied
}

/**
 * Resolves when nothing unfinished lies about any more: the server is told of a cut a moment later.
 */
async function settled(folder: string, where: string): Promise<void> {
  const names = (): string[] => readdirSync(folder, { recursive: true, encoding: 'utf8' })
  await eventually(() => names().length === 7, where, 20_000).catch(() => assert.fail(`${where}: ${names().join()}`))
}

interface World {
  /** What the peer serves, and what is here. */
  readonly remote: string
  readonly local: string
  /** A line to the peer with these faults. */
  line(faults: FaultProxyOptions): Promise<FaultProxy>
}

async function world(t: TestContext): Promise<World> {
  t.diagnostic(REPLAY)
  const base = temporaryFolder(t)
  const remote = join(base, 'remote')
  const local = join(base, 'local')
  mkdirSync(remote)
  mkdirSync(local)
  makeTree(join(remote, 'new'), content)
  makeTree(join(local, 'new'), content)
  const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root: remote })] })
  t.after(() => server.close())
  return {
    remote,
    local,
    async line(faults) {
      const proxy = await faultProxy(proxyTarget(server.address), faults)
      t.after(() => proxy.close())
      return proxy
    },
  }
}

/** A command in this process, which `signal` interrupts. */
async function command(args: readonly string[], signal?: AbortSignal): Promise<{ status: number; said: string }> {
  const captured = capturedContext()
  const context =
    signal === undefined
      ? captured.context
      : (Object.create(captured.context, { signal: { value: signal } }) as Context)
  return { status: await run(args, context), said: captured.stderr() }
}

const WAYS = [
  {
    way: 'to the peer',
    /** Which direction of the line the data take. */
    data: 'there',
    target: ({ remote }: World) => remote,
    args: ({ local }: World, name: string) => [`${local}/new/.`, `:${name}`],
  },
  {
    way: 'from the peer',
    data: 'back',
    target: ({ local }: World) => local,
    args: ({ local }: World, name: string) => [':new/.', join(local, name)],
  },
] as const

for (const { way, data, target, args } of WAYS) {
  describe(`a copy of a tree ${way}`, () => {
    const prepared = async (t: TestContext) => {
      const here = await world(t)
      const folder = (name: string): string => join(target(here), name)
      const words = (name: string, line: FaultProxy): string[] => [
        'cp',
        '-r',
        '--to',
        line.address,
        ...args(here, name),
      ]
      // once without a fault: it works, and shows how much there is to cut
      const line = await here.line({})
      assert.deepEqual(await command(words('whole', line)), { status: 0, said: '' })
      assert.equal(inspect(folder('whole'), 'whole'), Object.keys(FILES).length)
      const total = line.carried()[data]
      line.close()
      return { here, folder, words, total, random: new Random(SEED) }
    }

    it('cut by its line anywhere leaves old files or new ones [R-273]', async (t) => {
      const { here, folder, words, total, random } = await prepared(t)
      const seen = new Set<number>()
      for (let round = 0; round < ROUNDS; round++) {
        const bytes = round % 4 === 0 ? random.integer(300, 4000) : random.integer(300, total - 1)
        const name = `cut-${round}`
        makeTree(folder(name), () => 'old')
        const by = random.pick(['end', 'reset'] as const)
        const line = await here.line({ [data]: { limit: { bytes, by } }, seed: SEED })
        const { status } = await command(words(name, line))
        const where = `${REPLAY}; round ${round}, ${by} after ${bytes} bytes of ${total}`
        assert.notEqual(status, 0, where)
        await settled(folder(name), where)
        seen.add(inspect(folder(name), where))
        line.close()
      }
      // it was cut early and late
      assert.ok(seen.size > 1, [...seen].join())
    })

    it('interrupted anywhere leaves old files or new ones [R-274]', async (t) => {
      const { here, folder, words, total, random } = await prepared(t)
      for (let round = 0; round < ROUNDS / 2; round++) {
        const name = `stopped-${round}`
        makeTree(folder(name), () => 'old')
        const line = await here.line({})
        const controller = new AbortController()
        const bytes = random.integer(0, total)
        let over = false
        const copying = command(words(name, line), controller.signal).finally(() => (over = true))
        await eventually(() => over || line.carried()[data] >= bytes, 'the bytes are there')
        controller.abort(new TrunkError('ERR_ABORTED', 'interrupted'))
        const { status, said } = await copying
        const where = `${REPLAY}; round ${round}, after ${bytes} bytes of ${total}`
        if (status !== 0) assert.match(said, /ERR_ABORTED/, where)
        await settled(folder(name), where)
        inspect(folder(name), where)
        line.close()
      }
    })
  })
}

describe('a copy to the peer', () => {
  it('whose program is killed anywhere leaves old files or new ones at the peer [R-275]', async (t) => {
    const here = await world(t)
    const random = new Random(SEED)
    const large = join(here.local, 'large')
    mkdirSync(large)
    // far more than is copied until somebody looks, so that the program is surely at work when it
    // dies; it takes no room
    for (const name of ['one', 'five']) {
      writeFileSync(join(large, name), '')
      truncateSync(join(large, name), 2 ** 30)
    }
    for (let round = 0; round < 5; round++) {
      const name = `killed-${round}`
      const folder = join(here.remote, name)
      makeTree(folder, () => 'old')
      const line = await here.line({})
      const bytes = random.integer(2_000, 8 * 1024 * 1024)
      const copy = start(['cp', '-r', `${large}/.`, `:${name}`], { to: line.address, input: '' })
      await eventually(() => line.carried().there >= bytes, 'something is unfinished', 20_000)
      copy.child.kill('SIGKILL')
      assert.equal((await copy.ended).signal, 'SIGKILL')
      await settled(folder, `${REPLAY}; round ${round}`)
      assert.equal(inspect(folder, `${REPLAY}; round ${round}, killed after ${bytes} bytes`), 0)
      line.close()
    }
  })
})

describe('a file that is written when its program is killed', () => {
  const anonymous = openAnonymous(Buffer.from(tmpdir()), 0o600)
  if (anonymous !== undefined) closeSync(anonymous)
  const skip = anonymous === undefined ? 'no native addon, or no O_TMPFILE in the temporary folder' : false
  const LARGE = 2 ** 30

  /** A folder with a large file that takes no room, and a served one. */
  async function prepared(
    t: TestContext,
  ): Promise<{ remote: string; local: string; server: Running; address: string }> {
    t.diagnostic(REPLAY)
    const base = temporaryFolder(t)
    const [remote, local] = [join(base, 'remote'), join(base, 'local')]
    for (const folder of [remote, local]) {
      mkdirSync(folder)
      writeFileSync(join(folder, 'large'), '')
      truncateSync(join(folder, 'large'), LARGE)
      writeFileSync(join(folder, 'target'), 'old')
    }
    const { running: server, address } = await serving(['--fs', remote])
    t.after(() => server.child.kill('SIGKILL'))
    return { remote, local, server, address }
  }

  const names = (folder: string): string[] => readdirSync(folder).sort()

  it('leaves nothing of it at the peer when the peer dies [R-327]', { skip }, async (t) => {
    const random = new Random(SEED)
    for (let round = 0; round < 3; round++) {
      const { remote, local, server, address } = await prepared(t)
      const line = await faultProxy(proxyTarget(address), {})
      t.after(() => line.close())
      const bytes = random.integer(100_000, 8 * 1024 * 1024)
      const copying = command(['cp', '--to', line.address, join(local, 'large'), ':target'])
      await eventually(() => line.carried().there >= bytes, 'it is being written', 20_000)
      server.child.kill('SIGKILL')
      assert.equal((await server.ended).signal, 'SIGKILL')
      assert.equal((await copying).status, 3)
      assert.deepEqual(names(remote), ['large', 'target'], `${REPLAY}; round ${round}`)
      assert.equal(readFileSync(join(remote, 'target'), 'utf8'), 'old')
    }
  })

  it('leaves nothing of it here when the copy dies [R-328]', { skip }, async (t) => {
    const random = new Random(SEED + 1)
    for (let round = 0; round < 3; round++) {
      const { local, address } = await prepared(t)
      const line = await faultProxy(proxyTarget(address), {})
      t.after(() => line.close())
      const bytes = random.integer(100_000, 8 * 1024 * 1024)
      const copy = start(['cp', ':large', join(local, 'target')], { to: line.address, input: '' })
      await eventually(() => line.carried().back >= bytes, 'it is being written', 20_000)
      copy.child.kill('SIGKILL')
      assert.equal((await copy.ended).signal, 'SIGKILL')
      assert.deepEqual(names(local), ['large', 'target'], `${REPLAY}; round ${round}`)
      assert.equal(readFileSync(join(local, 'target'), 'utf8'), 'old')
    }
  })
})
