/**
 * The first SIGINT or SIGTERM ends every command, whatever it waits for; and a command that is over
 * ends its process.
 */
import assert from 'node:assert/strict'
import { closeSync, openSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { byteString } from '../../src/runtime/byte-string.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { endedBy, type Files } from '../../src/cli/files.ts'
import { defineProtocol, serve, type Server } from '../../src/index.ts'
import { serving, type Serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeFifo, makePipe, startRaw, type Descriptors, type RawCommand } from '../helpers/raw-command.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
let server: Serving

before(async () => {
  writeFileSync(join(root, 'large'), Buffer.alloc(16 * 1024 * 1024))
  server = await serving(['--fs', root])
})
after(() => server.stop())

/** Longer than any of these needs on a busy machine; without the cure they wait for ever. */
const SOON_MS = 20_000

async function endsAt(signal: NodeJS.Signals, command: RawCommand, status: number): Promise<void> {
  await command.still()
  assert.deepEqual([command.child.exitCode, command.child.signalCode], [null, null], 'it waits')
  command.child.kill(signal)
  await endsSoon(command, status)
}

async function endsSoon({ child, ended }: RawCommand, status: number): Promise<void> {
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
  await eventually(isOver, 'it ends', SOON_MS).finally(() => child.kill('SIGKILL'))
  assert.deepEqual(await ended, [status, null])
}

/** Descriptors of a pipe that the test closes. */
function pipeOf(t: TestContext, options: { full?: boolean } = {}): { read: number; write: number } {
  const pipe = makePipe(options)
  t.after(() => pipe.close())
  return pipe
}

type Waiting = readonly [what: string, args: (fifo: string) => string[], stdio: (t: TestContext) => Descriptors]

const QUIET: Descriptors = ['ignore', 'ignore', 'ignore']
const quiet = (): Descriptors => QUIET
const unread = (t: TestContext): Descriptors => ['ignore', pipeOf(t, { full: true }).write, 'ignore']

const WAITING: readonly Waiting[] = [
  ['a FIFO that nobody writes', (fifo) => ['cp', fifo, ':/new'], quiet],
  ['a FIFO that nobody reads', (fifo) => ['cp', ':/large', fifo], quiet],
  ['a token file that is a FIFO', (fifo) => ['ls', '--token-file', fifo], quiet],
  ['a token file of a server', (fifo) => ['serve', 'tcp://127.0.0.1:0', '--token-file', fifo], quiet],
  ['standard input', () => ['cp', '-', ':/new'], (t) => [pipeOf(t).read, 'ignore', 'ignore']],
  ['a pager, in cat', () => ['cat', ':/large'], unread],
  ['a pager, in cp', () => ['cp', ':/large', '-'], unread],
  ['a pager, in ls', () => ['ls', '-l'], unread],
  ['a pager, in ping', () => ['ping'], unread],
  ['whoever reads the address of a server', () => ['serve', 'tcp://127.0.0.1:0'], unread],
  ['whoever reads the port of a forward', () => ['forward', '-L', '0:127.0.0.1:1'], unread],
  [
    'whoever reads standard error',
    () => ['ls', ':/missing'],
    (t) => ['ignore', 'ignore', pipeOf(t, { full: true }).write],
  ],
]

describe('the first signal', { concurrency: 2, timeout: 120_000 }, () => {
  for (const [what, args, stdio] of WAITING) {
    it(`ends a command that waits for ${what} [R-410]`, async (t) => {
      await endsAt('SIGINT', startRaw(args(makeFifo()), stdio(t), server.address), 1)
    })
  }

  it('is SIGTERM as well [R-410]', async () => {
    await endsAt('SIGTERM', startRaw(['cp', makeFifo(), ':/new'], QUIET, server.address), 1)
  })
})

const FILE_COMMANDS: readonly string[][] = [
  ['ls', ':/x'],
  ['cat', ':/x'],
  ['stat', ':/x'],
  ['mkdir', ':/x', ':/y'],
  ['rm', '-r', ':/x', ':/y'],
  ['mv', ':/x', ':/y'],
  ['cp', ':/x', join(root, 'x')],
  ['cp', '-r', root, ':/x'],
]

describe('the first signal, while the peer takes its time', { concurrency: 2, timeout: 120_000 }, () => {
  let slow: Server
  let [opened, left] = [0, 0]
  before(async () => {
    const filesystem = defineProtocol({
      name: 'filesystem',
      parse: (params) => params,
      async handle({ signal }) {
        opened += 1
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        left += 1
      },
    })
    slow = await serve('tcp://127.0.0.1:0', { protocols: [filesystem] })
  })
  after(() => slow.close())

  for (const args of FILE_COMMANDS) {
    it(`ends ${args[0] ?? ''}, and what the peer does for it [R-411]`, async () => {
      await endsAt('SIGINT', startRaw(args, QUIET, slow.address), 1)
    })
  }

  after(async () => {
    await eventually(() => left === opened && opened >= FILE_COMMANDS.length, 'the peer was told each time')
  })

  it('reaches every call of the peer’s files, those that were given a signal of their own as well [R-411]', () => {
    const seen: unknown[] = []
    const note = (...args: unknown[]): never => {
      seen.push((args.at(-1) as { signal?: unknown } | undefined)?.signal)
      return undefined as never
    }
    const names = ['stat', 'list', 'read', 'readSmall', 'mkdir', 'remove', 'rename', 'setAttributes', 'sha256', 'write']
    const fake = Object.fromEntries(names.map((name) => [name, note])) as unknown as Files
    const { signal } = new AbortController()
    const files = endedBy(signal, fake)
    assert.deepEqual(Object.keys(files).sort(), [...names, 'own', 'shown'].sort())
    void files.stat('a')
    files.list('a')
    files.read('a')
    void files.readSmall('a')
    void files.mkdir('a')
    void files.remove('a')
    void files.rename('a', 'b')
    void files.setAttributes('a', {})
    void files.sha256('a')
    void files.write('a', new Uint8Array())
    assert.deepEqual(
      seen,
      names.map(() => signal),
    )
  })
})

describe('a tree without a file', () => {
  it('lets the event loop have its turns while it is walked [R-412]', async () => {
    const { walkLocal } = await import('../../protocols/filesystem/copy/local-tree.ts')
    const folder = temporaryFolder()
    for (let i = 0; i < 1000; i += 1) symlinkSync('nowhere', join(folder, String(i)))
    let turns = 0
    const count = (): void => {
      turns += 1
      setImmediate(count).unref()
    }
    setImmediate(count).unref()
    const waiter = { signal: new AbortController().signal, clock: systemClock, abandon: () => undefined }
    for await (const { type } of walkLocal(waiter, byteString(folder))) assert.equal(type, 'symlink')
    assert.ok(turns >= 3, `${turns} turns`)
  })
})

describe('a command that is over', { concurrency: 2, timeout: 60_000 }, () => {
  for (const args of [
    ['serve', 'tcp://127.0.0.1:0'],
    ['forward', '-L', '0:127.0.0.1:1'],
    ['forward', '-R', '0:127.0.0.1:1'],
  ]) {
    it(`ends its process: ${args.slice(0, 2).join(' ')} | true [R-413]`, async () => {
      const { read, write } = makePipe()
      closeSync(read)
      const ending = await serving(['--listen', '127.0.0.1:*'])
      const command = startRaw(args, ['ignore', write, 'ignore'], ending.address)
      closeSync(write)
      await endsSoon(command, 0)
      await ending.stop()
    })
  }

  it('ends its process though standard input stays open [R-413]', async (t) => {
    const command = startRaw(['cp', '-', ':/no/such/folder/x'], [pipeOf(t).read, 'ignore', 'ignore'], server.address)
    await endsSoon(command, 1)
  })

  it('ends its process though a read of a device goes on [R-413]', async () => {
    const terminal = openSync('/dev/ptmx', 'r+')
    const command = startRaw(['cp', '-', ':/no/such/folder/x'], [terminal, 'ignore', 'ignore'], server.address)
    closeSync(terminal)
    await endsSoon(command, 1)
  })
})
