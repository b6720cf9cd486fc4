/** Commands with a terminal: its size, its keys, its last output, and who may have one. */
import assert from 'node:assert/strict'
import { after, afterEach, describe, it } from 'node:test'
import type { Trunk, TrunkError } from '../../../src/index.ts'
import { execClient, type CommandOutput, type ExecOptions, type RunningCommand } from '../../../protocols/exec.ts'
import { execOver } from '../../../protocols/exec/server.ts'
import { eventually, stayAlive } from '../../helpers/eventually.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'
import { isAlive, LAUNCHERS } from './launchers.ts'

const [spawns, keeps] = LAUNCHERS
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'resolved',
    (error: unknown) => (error as TrunkError).code,
  )

/** What it shows, to its end; `onText` is told of all that there is so far. */
async function shown(output: CommandOutput | undefined, onText?: (all: string) => void): Promise<string> {
  let all = ''
  for await (const data of output ?? []) {
    all += Buffer.from(data.subarray()).toString()
    onText?.(all)
  }
  return all
}
const typed = (command: RunningCommand, keys: string) => command.stdin?.write(Buffer.from(keys)) ?? Promise.resolve()

describe('exec, terminals', { skip: keeps?.skip ?? false }, () => {
  after(stayAlive())
  const open: Trunk[] = []
  afterEach(() => {
    for (const trunk of open.splice(0)) trunk.abort(new Error('over'))
  })
  async function client(options: Partial<ExecOptions> = {}, kind = keeps) {
    const launcher = kind?.make(options.clock)
    assert.ok(launcher)
    const pair = await trunkPair({}, { protocols: [execOver({ allow: 'any', directory: '/', ...options }, launcher)] })
    open.push(...pair)
    return execClient(pair[0])
  }

  it('[R-631] has its size, its name and its modes before the program runs [X29]', async () => {
    const vm = await client()
    const script =
      'stty size; echo $TERM; stty -a | tr " ;" "\\n\\n" | grep -x -e -echo -e -ixon; test -t 0 -a -t 1 -a -t 2 && echo tty'
    const tty = { columns: 132, rows: 43, term: 'vt100', modes: { echo: false, ixon: false } }
    const command = await vm.start('sh', ['-c', script], { tty })
    assert.equal(await shown(command.stdout), '43 132\r\nvt100\r\n-ixon\r\n-echo\r\ntty\r\n')
    assert.deepEqual([(await command.exit).code, command.stderr], [0, undefined])
    await command.empty
    const named = await vm.start('sh', ['-c', 'echo $TERM'], { tty: { term: 'vt100' }, env: { TERM: 'mine' } })
    assert.equal(await shown(named.stdout), 'mine\r\n')
  })

  it('[R-632] tells the program each new size, and the last one holds [X29]', async () => {
    const vm = await client()
    // a signal may end the shell's `read`: only the word ends the loop
    const script = 'trap "stty size" WINCH; echo up; until read line && [ "$line" = end ]; do stty size; done'
    const command = await vm.start('sh', ['-c', script], { tty: { modes: { echo: false } } })
    let isUp = false
    const all = shown(command.stdout, (text) => {
      if (!text.includes('up')) return
      if (!isUp) for (let i = 1; i <= 300; i++) void command.resize(i, 1000 + i)
      isUp = true
      // two pipes have no order: it is asked until the last size has come
      void typed(command, text.includes('1300 300') ? 'end\n' : '\n')
    })
    const sizes = (await all).trim().split('\r\n')
    assert.equal(sizes.at(-1), '1300 300')
    assert.equal(await codeOf(command.resize(0, 1)), 'ERR_BAD_ARGUMENT')
  })

  it('[R-633] loses nothing of what is shown last, and counts it [X09]', async () => {
    const vm = await client()
    for (let round = 0; round < 25; round++) {
      const command = await vm.start('seq', ['1', '5000'], { tty: { modes: { onlcr: false } } })
      assert.equal((await shown(command.stdout)).length, 23_893, `round ${round}`)
      assert.equal((await command.exit).code, 0)
    }
  })

  it('[R-634] gives the keys of the terminal to its foreground, and its hang-up to all [X30]', async () => {
    const vm = await client({ killGraceMs: 2_000 })
    const script = 'trap "echo got; exit 9" INT; echo up; while :; do sleep 0.05; done'
    const command = await vm.start('sh', ['-c', script], { tty: {} })
    let isUp = false
    const all = await shown(command.stdout, (text) => {
      if (isUp || !text.includes('up')) return
      isUp = true
      void typed(command, '\u0003')
    })
    assert.match(all, /got/)
    assert.equal((await command.exit).code, 9)
    const cat = await vm.start('cat', [], { tty: { modes: { echo: false } } })
    await typed(cat, 'a\n')
    await cat.stdin?.closeWrite()
    assert.equal(await shown(cat.stdout), 'a\r\n')
    assert.equal((await cat.exit).code, 0)
    const sleeping = await vm.start('sleep', ['100'], { tty: {} })
    sleeping.kill()
    await eventually(() => !isAlive(sleeping.pid), 'it has ended')
  })

  it('[R-635] of a kept command is its controller’s; a watcher sees what it shows', async () => {
    const vm = await client()
    const first = await vm.start('cat', [], { tty: { modes: { echo: false } }, keep: { name: 'cat' } })
    await typed(first, 'one\n')
    const watcher = await vm.attach('cat', { watch: true })
    assert.equal(watcher.info.tty, true)
    let had = ''
    for await (const data of watcher.stdout ?? []) {
      had += Buffer.from(data.subarray()).toString()
      // who looks on from the same trunk has not taken its keys
      if (had === 'one\r\n') await typed(first, 'more\n')
      if (had === 'one\r\nmore\r\n') break
    }
    await first.detach()
    const second = await vm.attach('cat', { from: 'tail' })
    await typed(second, 'two\n')
    await second.stdin?.closeWrite()
    assert.equal(await shown(second.stdout), 'two\r\n')
    assert.equal((await vm.wait('cat')).code, 0)
    const refused = await vm.attach('cat', { watch: true })
    assert.equal(await codeOf(typed(refused, 'x').then(() => refused.stdin?.closeWrite())), 'ERR_STDIN_CLOSED')
  })

  it('[R-636] is refused where none can be made, and where the policy says so', async () => {
    const without = await client({}, spawns)
    assert.equal(await codeOf(without.start('true', [], { tty: {} })), 'ERR_TERMINAL_UNAVAILABLE')
    assert.equal(await codeOf((await client({ tty: false })).start('true', [], { tty: {} })), 'ERR_DENIED')
    const vm = await client()
    for (const tty of [
      { columns: 0 },
      { rows: 10_001 },
      { term: '../x' },
      { modes: { raw: true } },
      { modes: { intr: 256 } },
    ])
      assert.equal(await codeOf(vm.start('true', [], { tty })), 'ERR_BAD_ARGUMENT', JSON.stringify(tty))
  })
})
