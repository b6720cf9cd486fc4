/**
 * Commands that outlive their sessions: what is kept of them, who steers them, and when they are
 * forgotten.
 */
import assert from 'node:assert/strict'
import { after, afterEach, describe, it } from 'node:test'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Trunk, TrunkError } from '../../../src/index.ts'
import { exec, execClient, type CommandOutput, type ExecOptions, type ExecProtocol } from '../../../protocols/exec.ts'
import { eventually, stayAlive } from '../../helpers/eventually.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'
import { isAlive } from './launchers.ts'

const text = async (output: CommandOutput | undefined): Promise<string> => {
  let all = ''
  for await (const data of output ?? []) all += Buffer.from(data.subarray()).toString()
  return all
}
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'resolved',
    (error: unknown) => (error as TrunkError).code,
  )
/** Reads so many bytes, and no more. */
const some = async (output: CommandOutput | undefined, bytes: number): Promise<string> => {
  let all = ''
  const items = (output as AsyncIterable<Uint8ArrayList>)[Symbol.asyncIterator]()
  while (all.length < bytes) {
    const item = (await items.next()) as IteratorResult<Uint8ArrayList, undefined>
    if (item.done === true) break
    all += Buffer.from(item.value.subarray()).toString()
  }
  return all
}

/** As `eventually`, of what has to be asked for. */
const soon = async (check: () => Promise<boolean>, what: string): Promise<void> => {
  const ends = performance.now() + 20_000
  while (!(await check())) if (performance.now() > ends) throw new Error(`not in 20 s: ${what}`)
}

describe('exec, kept commands', () => {
  after(stayAlive())
  const open: Trunk[] = []
  const protocols: ExecProtocol[] = []
  afterEach(async () => {
    for (const protocol of protocols.splice(0)) await protocol.close()
    for (const trunk of open.splice(0)) trunk.abort(new Error('over'))
  })

  function server(options: Partial<ExecOptions> = {}): ExecProtocol {
    const protocol = exec({ allow: 'any', directory: '/', killGraceMs: 50, ...options })
    protocols.push(protocol)
    return protocol
  }
  async function dial(protocol: ExecProtocol): Promise<[near: Trunk, far: Trunk]> {
    const pair = await trunkPair({}, { protocols: [protocol] })
    open.push(...pair)
    return pair
  }
  const client = async (protocol: ExecProtocol) => execClient((await dial(protocol))[0])

  it('[R-620] outlives its session, and gives the next one every byte from an offset on [X33]', async () => {
    const protocol = server()
    const [near] = await dial(protocol)
    const script = 'echo one; read go; seq 1 20000; echo "$go" >&2; exit 5'
    const first = await execClient(near).start('sh', ['-c', script], { stdin: 'pipe', keep: { name: 'job' } })
    assert.equal(first.name, 'job')
    assert.equal(await some(first.stdout, 4), 'one\n')
    near.abort(new Error('cut'))
    assert.equal(await codeOf(first.exit), 'ERR_SESSION_ABORTED')
    assert.ok(isAlive(first.pid))

    const second = await (await client(protocol)).attach('job', { from: 4 })
    assert.deepEqual([second.pid, second.info.state, second.stdout?.from], [first.pid, 'running', 4])
    await second.stdin?.write(Buffer.from('on\n'))
    const [out, err, exit] = await Promise.all([text(second.stdout), text(second.stderr), second.exit])
    assert.equal(out, Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join(''))
    assert.deepEqual([err, exit.code], ['on\n', 5])

    // late: what has ended is told to those who come now
    const third = await (await client(protocol)).attach('job')
    assert.deepEqual([third.info.state, third.info.exit], ['exited', { code: 5, signal: null }])
    assert.equal((await text(third.stdout)).length, out.length + 4)
    assert.equal((await third.exit).code, 5)
  })

  it('[R-621] a reset by its controller ends it, being left does not', async () => {
    const vm = await client(server())
    const left = await vm.start('sleep', ['100'], { keep: { name: 'left' } })
    await left.detach()
    assert.equal(await codeOf(left.exit), 'ERR_ABORTED')
    assert.ok(isAlive(left.pid))
    const killed = await vm.attach('left')
    killed.kill()
    await eventually(() => !isAlive(left.pid), 'it has ended')
    assert.equal((await vm.wait('left')).signal, 'TERM')
    {
      await using disposed = await vm.start('sleep', ['100'], { keep: { name: 'disposed' } })
      assert.ok(isAlive(disposed.pid))
    }
    const { pid } = (await vm.list()).find(({ name }) => name === 'disposed') ?? { pid: 0 }
    assert.ok(isAlive(pid))
    assert.equal(await codeOf((await vm.start('true')).detach()), 'ERR_UNSUPPORTED')
  })

  it('[R-622] drops the oldest output that nobody reads, and says exactly how much [X34]', async () => {
    const vm = await client(server({ ringBytes: 64 * 1024 }))
    const bytes = 11_000_000
    const job = await vm.start('sh', ['-c', `head -c ${bytes} /dev/zero; echo end`], { keep: { name: 'job' } })
    await job.detach()
    assert.equal((await vm.wait('job')).code, 0)
    const late = await vm.attach('job')
    assert.equal(late.stdout?.dropped, bytes + 4 - 64 * 1024)
    assert.equal(late.stdout.from, late.stdout.dropped)
    const rest = await text(late.stdout)
    assert.equal(rest.length, 64 * 1024)
    assert.ok(rest.endsWith('end\n'))
    assert.deepEqual(late.info.offsets.stdout, [bytes + 4 - 64 * 1024, bytes + 4])
  })

  it('[R-623] waits for its reader where nothing may be dropped, over any number of cuts [X33]', async () => {
    const protocol = server({ ringBytes: 64 * 1024 })
    const [near] = await dial(protocol)
    const count = 200_000
    const whole = Array.from({ length: count }, (_, i) => `${i + 1}\n`).join('')
    const keep = { name: 'job', whenFull: 'block' } as const
    let trunk = near
    let command = await execClient(near).start('seq', ['1', `${count}`], { keep })
    let had = ''
    for (let cut = 0; cut < 4; cut++) {
      had += await some(command.stdout, 250_000)
      trunk.abort(new Error('cut'))
      ;[trunk] = await dial(protocol)
      await soon(async () => {
        const [job] = await execClient(trunk).list()
        return job?.controlled === false
      }, 'the lost session is noticed')
      command = await execClient(trunk).attach('job', { from: had.length })
      assert.equal(command.stdout?.dropped, 0)
    }
    had += await text(command.stdout)
    assert.equal(had.length, whole.length)
    assert.equal(had, whole)
    assert.equal((await command.exit).code, 0)
  })

  it('[R-624] has one controller, who is told when another takes it; watchers write nothing [X35]', async () => {
    const protocol = server()
    const vm = await client(protocol)
    const other = await client(protocol)
    const first = await vm.start('cat', [], { stdin: 'pipe', keep: { name: 'cat' } })
    await first.stdin?.write(Buffer.from('a'))
    assert.equal(await some(first.stdout, 1), 'a')
    assert.equal(await codeOf(other.attach('cat')), 'ERR_COMMAND_ATTACHED')
    const watcher = await other.attach('cat', { watch: true })
    assert.equal(watcher.stdin, undefined)
    const second = await other.attach('cat', { take: true })
    assert.equal(await codeOf(first.exit), 'ERR_COMMAND_ATTACHED')
    await soon(
      async () => (await codeOf(first.stdin?.write(Buffer.from('b')) ?? Promise.resolve())) !== 'resolved',
      'the first writes no more',
    )
    await second.stdin?.write(Buffer.from('c'))
    await second.stdin?.closeWrite()
    assert.equal((await text(second.stdout)).replace('b', ''), 'ac')
    assert.equal((await text(watcher.stdout)).replace('b', ''), 'ac')
    assert.equal((await watcher.exit).code, 0)
    await watcher.signal('TERM').catch(() => undefined)
  })

  it('[R-625] a watcher that reads nothing stops nobody, and learns that it was too slow [X35]', async () => {
    const protocol = server({ ringBytes: 4096 })
    const vm = await client(protocol)
    const job = await vm.start('sh', ['-c', 'read go; head -c 60000000 /dev/zero'], {
      stdin: 'pipe',
      keep: { name: 'job' },
    })
    const other = await client(protocol)
    const stuck = await Promise.all(Array.from({ length: 16 }, () => other.attach('job', { watch: true })))
    assert.equal(await codeOf(other.attach('job', { watch: true })), 'ERR_PROCESS_LIMIT')
    await job.stdin?.write(Buffer.from('\n'))
    let bytes = 0
    for await (const data of job.stdout ?? []) bytes += data.byteLength
    assert.equal(bytes, 60_000_000)
    assert.equal((await job.exit).code, 0)
    for (const watcher of stuck) assert.equal(await codeOf(text(watcher.stdout)), 'ERR_OUTPUT_LIMIT')
  })

  it('[R-626] is ended and forgotten some time after its last controller has left [X36]', async () => {
    const clock = manualClock()
    const vm = await client(server({ clock, maxKeepMs: 60_000, killGraceMs: 0 }))
    const job = await vm.start('sleep', ['100'], { keep: { name: 'job', forMs: 3_600_000 } })
    clock.advance(120_000)
    assert.ok(isAlive(job.pid), 'it has a controller')
    await job.detach()
    await soon(async () => (await vm.list())[0]?.controlled === false, 'it was left')
    clock.advance(59_999)
    assert.equal((await vm.list()).length, 1)
    clock.advance(1)
    await eventually(() => {
      clock.advance(300)
      return !isAlive(job.pid)
    }, 'it has ended')
    await soon(async () => {
      clock.advance(300)
      return (await vm.list()).length === 0
    }, 'it is forgotten')
    assert.equal(await codeOf(vm.attach('job')), 'ERR_COMMAND_UNKNOWN')
  })

  it('[R-627] is bounded in number and bytes; one that has ended gives way', async () => {
    const vm = await client(server({ maxKept: 2, ringBytes: 8192, maxRingBytes: 4 * 8192 }))
    const running = await vm.start('sleep', ['100'], { keep: { name: 'a' } })
    const again = vm.start('true', [], { keep: { name: 'a' } })
    assert.equal(await codeOf(again), 'ERR_COMMAND_EXISTS')
    await (
      await vm.start('true', [], { keep: { name: 'b' } })
    ).exit
    await soon(async () => (await vm.list()).every(({ name, controlled }) => name === 'a' || !controlled), 'b is left')
    await vm.start('sleep', ['100'], { keep: { name: 'c' } })
    assert.deepEqual(
      (await vm.list()).map(({ name }) => name),
      ['a', 'c'],
    )
    assert.equal(await codeOf(vm.start('true', [], { keep: { name: 'd' } })), 'ERR_PROCESS_LIMIT')
    await running.detach()
    await vm.forget('a')
    assert.ok(!isAlive(running.pid))
    assert.equal(await codeOf(vm.forget('a')), 'ERR_COMMAND_UNKNOWN')
    await vm.start('true', [], { keep: { name: 'd' } })
    assert.equal(await codeOf(vm.start('true', [], { keep: { name: 'no name' } })), 'ERR_BAD_ARGUMENT')
    const none = await client(server({ maxKept: 0 }))
    assert.equal(await codeOf(none.start('true', [], { keep: {} })), 'ERR_PROCESS_LIMIT')
  })

  it('[R-628] lists commands with what is told of them, and signals them by name', async () => {
    const vm = await client(server())
    const odd = await vm.start(
      'sh',
      ['-c', 'trap "echo got; exit 3" USR1; echo up; while :; do sleep 0.05; done', 'a\u001Bb'],
      {
        keep: { name: 'odd' },
      },
    )
    assert.equal(await some(odd.stdout, 3), 'up\n')
    const own = await vm.start('sleep', ['100'])
    const rows = await vm.list()
    assert.deepEqual(
      rows.map(({ name, pid, state, kept, tty }) => [name, pid, state, kept, tty]),
      [
        ['odd', odd.pid, 'running', true, false],
        [undefined, own.pid, 'running', false, false],
      ],
    )
    assert.equal(rows[0]?.argv.at(-1), 'a\u001Bb')
    await vm.kill('odd', { signal: 'SIGUSR1', scope: 'leader' })
    assert.equal((await vm.wait('odd')).code, 3)
    await vm.kill(own.id)
    assert.equal((await own.exit).signal, 'TERM')
    assert.equal(await codeOf(vm.kill('none')), 'ERR_COMMAND_UNKNOWN')
    assert.equal(await codeOf(vm.kill('odd')), 'ERR_COMMAND_UNKNOWN')
  })

  it('[R-629] shows what is kept of its output, to now or as it comes, without a controller’s place', async () => {
    const vm = await client(server())
    const job = await vm.start('sh', ['-c', 'echo one; read go; echo two'], { stdin: 'pipe', keep: { name: 'job' } })
    assert.equal(await some(job.stdout, 4), 'one\n')
    assert.equal(await text((await vm.logs('job')).stdout), 'one\n')
    assert.equal(await text((await vm.logs('job', { tailBytes: 2 })).stdout), 'e\n')
    const following = await vm.logs('job', { follow: true, from: 1 })
    await job.stdin?.write(Buffer.from('\n'))
    assert.equal(await text(following.stdout), 'ne\ntwo\n')
    assert.equal(await codeOf(vm.logs('job', { from: 1000 })), 'ERR_PARAMS_INVALID')
  })

  it('[R-630] ends with the close of its server', async () => {
    const protocol = server()
    const vm = await client(protocol)
    const job = await vm.start('sh', ['-c', 'trap "" TERM; echo up; while :; do sleep 1; done'], {
      keep: { name: 'job' },
    })
    assert.equal(await some(job.stdout, 3), 'up\n')
    await job.detach()
    await protocol.close()
    assert.ok(!isAlive(job.pid))
    assert.equal(await codeOf(vm.start('true', [], { keep: {} })), 'ERR_PROCESS_LIMIT')
    assert.equal((await vm.run('true')).code, 0)
  })

  it('[R-800] goes on where the signal of an attach aborts, before the answer and after it', async () => {
    const vm = await client(server())
    const job = await vm.start('cat', [], { stdin: 'pipe', keep: { name: 'job' } })
    await job.detach()
    for (const when of ['before', 'after']) {
      const leaves = new AbortController()
      const attaching = vm.attach('job', { signal: leaves.signal })
      const reason = new Error('enough')
      if (when === 'after') {
        const { exit, stdout } = await attaching
        leaves.abort(reason)
        assert.equal(await codeOf(exit), 'ERR_ABORTED')
        assert.equal(await codeOf(text(stdout)), 'ERR_ABORTED')
      } else {
        leaves.abort(reason)
        await assert.rejects(attaching, (error) => error === reason)
      }
      await soon(async () => (await vm.list())[0]?.controlled === false, 'it was left')
      assert.ok(isAlive(job.pid), when)
    }
    const again = await vm.attach('job')
    await again.stdin?.write(Buffer.from('on'))
    await again.stdin?.closeWrite()
    assert.deepEqual([await text(again.stdout), (await again.exit).code], ['on', 0])
  })

  it('[R-801] has room for any number of logs to now, which leave no pipe behind', async () => {
    const protocol = server()
    const [near] = await dial(protocol)
    const vm = execClient(near)
    const job = await vm.start('sh', ['-c', 'echo one; exec sleep 100'], { keep: { name: 'job' } })
    assert.equal(await some(job.stdout, 4), 'one\n')
    const pipes = near.status().pipes.length
    for (let turn = 0; turn < 40; turn++) {
      const { stdout, stderr, exit } = await vm.logs('job')
      assert.equal(await text(stdout), 'one\n')
      // what is empty may be left unread
      if (turn % 2 === 0) assert.equal(await text(stderr), '')
      assert.equal(await codeOf(exit), 'ERR_ABORTED')
    }
    await eventually(() => near.status().pipes.length === pipes, 'no pipe of them is left')
    assert.equal((await vm.list())[0]?.watchers, 0)
  })

  it('[R-808] a watcher sees all of one that waits for its reader, says nothing, and is not thrown out', async () => {
    const protocol = server({ ringBytes: 4096 })
    const vm = await client(protocol)
    const keep = { name: 'job', whenFull: 'block' } as const
    const job = await vm.start('sh', ['-c', 'read go; seq 1 60000'], { stdin: 'pipe', keep })
    const watcher = await (await client(protocol)).attach('job', { watch: true })
    assert.equal(await codeOf(watcher.signal('TERM')), 'ERR_DENIED')
    await job.stdin?.write(Buffer.from('\n'))
    // the controller reads no faster than the watcher, for whom nothing is held
    const behind = watcher.stdout?.[Symbol.asyncIterator]()
    let seen = 0
    let read = 0
    for await (const data of job.stdout ?? []) {
      read += data.byteLength
      while (seen < read) {
        const next = await behind?.next()
        if (next === undefined || next.done === true) break
        seen += next.value.byteLength
      }
    }
    assert.equal(seen, read)
    assert.deepEqual([(await job.exit).code, (await watcher.exit).code], [0, 0])
  })

  it('[R-809] an attach that fails leaves no pipe behind, and the place free', async () => {
    const protocol = server()
    const [near] = await dial(protocol)
    const vm = execClient(near)
    const job = await vm.start('sleep', ['100'], { keep: { name: 'job' } })
    await job.detach()
    const pipes = near.status().pipes.length
    for (let turn = 0; turn < 40; turn++)
      assert.equal(await codeOf(vm.attach('job', { from: 1_000_000, take: true })), 'ERR_PARAMS_INVALID')
    await eventually(() => near.status().pipes.length <= pipes, 'no pipe of them is left')
    await soon(async () => (await vm.list())[0]?.controlled === false, 'its place is free')
    assert.ok(isAlive(job.pid))
  })
})
