/**
 * Kept commands whose program does what a test says: writers that follow each other, an end that
 * comes before the start, outputs that fail, and who may write where several streams are one
 * trunk's.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, afterEach, describe, it } from 'node:test'
import { TrunkError, type Trunk } from '../../../src/index.ts'
import { execClient, type CommandOutput, type ExecOptions, type ExecProtocol } from '../../../protocols/exec.ts'
import type { Launched, Launcher } from '../../../protocols/exec/launch.ts'
import { spawnLauncher } from '../../../protocols/exec/launch-spawn.ts'
import { execOver } from '../../../protocols/exec/server.ts'
import { Deferred } from '../../../src/runtime/deferred.ts'
import { eventually, stayAlive } from '../../helpers/eventually.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'
import { isAlive } from './launchers.ts'

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'resolved',
    (error: unknown) => (error as TrunkError).code,
  )
const bytesOf = async (output: CommandOutput | undefined): Promise<number> => {
  let bytes = 0
  for await (const data of output ?? []) bytes += data.byteLength
  return bytes
}

/** Programs as ever, after `change`. */
function launcherOf(change: (launched: Launched) => Launched | Promise<Launched>): Launcher {
  const real = spawnLauncher()
  return { ...real, launch: async (plan, signal) => await change(await real.launch(plan, signal)) }
}

describe('exec, writers and readers of kept commands', () => {
  after(stayAlive())
  const open: Trunk[] = []
  const protocols: ExecProtocol[] = []
  afterEach(async () => {
    for (const protocol of protocols.splice(0)) await protocol.close()
    for (const trunk of open.splice(0)) trunk.abort(new Error('over'))
  })
  function server(launcher: Launcher = spawnLauncher(), options: Partial<ExecOptions> = {}): ExecProtocol {
    const protocol = execOver({ allow: 'any', directory: '/', killGraceMs: 50, ...options }, launcher)
    protocols.push(protocol)
    return protocol
  }
  async function dial(protocol: ExecProtocol): Promise<Trunk> {
    const pair = await trunkPair({}, { protocols: [protocol] })
    open.push(...pair)
    return pair[0]
  }

  it('[R-810] write one at a time, in the order in which they came', async () => {
    const begun: string[] = []
    const gates: Deferred<boolean>[] = []
    const write = (chunk: Uint8Array): Promise<boolean> => {
      begun.push(Buffer.from(chunk).toString())
      const gate = new Deferred<boolean>()
      gates.push(gate)
      return gate.promise
    }
    const protocol = server(
      launcherOf((launched) => ({
        ...launched,
        stdin: { write, end: () => begun.push('end'), close: () => gates.map((gate) => gate.resolve(false)) },
      })),
    )
    const vm = execClient(await dial(protocol))
    const first = await vm.start('sleep', ['100'], { stdin: 'pipe', keep: { name: 'job' } })
    await first.stdin?.write(Buffer.from('a'))
    await eventually(() => begun.length === 1, 'the first writes')
    const second = await execClient(await dial(protocol)).attach('job', { take: true })
    await second.stdin?.write(Buffer.from('b'))
    await second.stdin?.closeWrite()
    // another answer of the server's, behind what was written
    assert.equal((await vm.list()).length, 1)
    assert.deepEqual(begun, ['a'])
    gates[0]?.resolve(true)
    await eventually(() => begun.length === 2, 'the second writes')
    assert.deepEqual(begun, ['a', 'b'])
    gates[1]?.resolve(true)
    await eventually(() => begun.length === 3, 'the input ends behind it')
  })

  it('[R-811] has one input for its controller; whoever looks on from the same trunk takes nothing', async () => {
    const protocol = server(spawnLauncher(), { ringBytes: 4096 })
    const trunk = await dial(protocol)
    const vm = execClient(trunk)
    const keep = { name: 'job', whenFull: 'block' } as const
    const job = await vm.start('sh', ['-c', 'read a; read b; head -c 1000000 /dev/zero'], { stdin: 'pipe', keep })
    const id = Buffer.from(job.id, 'hex')
    assert.equal(await codeOf(trunk.open('exec', { op: 'stream', id, stream: 'stdin' })), 'ERR_COMMAND_EXISTS')
    const watcher = { op: 'stream', id, stream: 'stdin', watch: true }
    assert.equal(await codeOf(trunk.open('exec', watcher)), 'ERR_DENIED')
    await job.stdin?.write(Buffer.from('a\nb\n'))
    const offsets = async () => (await vm.list())[0]?.offsets.stdout ?? [0, 0]
    while ((await offsets())[1] < 4096);
    // who looks on from what its controller has not read releases nothing of that
    const watching = await vm.attach('job', { watch: true, from: 4096 })
    for (let turn = 0; turn < 10; turn++) assert.deepEqual(await offsets(), [0, 4096])
    await watching.detach()
    assert.equal(await bytesOf(job.stdout), 1_000_000)
    assert.equal((await job.exit).code, 0)
  })

  it('[R-812] is ended where it is forgotten before it runs', async () => {
    const gate = new Deferred<undefined>()
    let launched: Launched | undefined
    const protocol = server(
      launcherOf(async (each) => {
        launched = each
        await gate.promise
        return each
      }),
    )
    const vm = execClient(await dial(protocol))
    const starting = vm.start('sleep', ['100'], { keep: { name: 'job' } })
    await eventually(() => launched !== undefined, 'it is being started')
    const forgotten = vm.forget('job')
    assert.equal((await vm.list()).length, 0)
    gate.resolve(undefined)
    const job = await starting
    assert.equal((await job.exit).signal, 'TERM')
    await forgotten
    assert.ok(!isAlive(job.pid))
    assert.equal(await codeOf(vm.forget('job')), 'ERR_COMMAND_UNKNOWN')
  })

  it('[R-813] an output that cannot be read is told to its readers, and ends nothing else', async () => {
    const protocol = server(
      launcherOf((launched) => {
        let reads = 0
        const read = (): Promise<Uint8Array | undefined> =>
          reads++ === 0
            ? Promise.resolve(Buffer.from('one'))
            : Promise.reject(new TrunkError('ERR_IO', 'the output of the program could not be read'))
        return { ...launched, ...(launched.stdout && { stdout: { ...launched.stdout, read } }) }
      }),
    )
    const vm = execClient(await dial(protocol))
    const job = await vm.start('sh', ['-c', 'read go; exit 3'], { stdin: 'pipe', keep: { name: 'job' } })
    assert.equal(await codeOf(bytesOf(job.stdout)), 'ERR_IO')
    assert.equal((await vm.list())[0]?.state, 'running')
    await job.stdin?.write(Buffer.from('\n'))
    assert.equal((await job.exit).code, 3)
    await job.empty
    assert.deepEqual((await vm.list())[0]?.exit, { code: 3, signal: null })
    const late = await vm.logs('job')
    assert.equal(await bytesOf(late.stdout), 3)
  })

  it('[R-814] has ended when its first process has, whoever has not read its output yet', async () => {
    const protocol = server(spawnLauncher(), { ringBytes: 4096 })
    const vm = execClient(await dial(protocol))
    const keep = { name: 'job', whenFull: 'block' } as const
    const job = await vm.start('head', ['-c', '20000', '/dev/zero'], { keep, stdout: 'pipe' })
    await job.exit
    await job.detach()
    const [row] = await vm.list()
    assert.deepEqual([row?.state, row?.exit, typeof row?.endedMs], ['exited', { code: 0, signal: null }, 'number'])
    // what there is by now, although more comes when somebody reads on
    const logs = await vm.logs('job')
    assert.ok((await bytesOf(logs.stdout)) >= 4096)
    assert.equal((await logs.exit).code, 0)
    const late = await vm.attach('job', { from: 0 })
    assert.equal((late.stdout?.dropped ?? 0) + (await bytesOf(late.stdout)), 20_000)
  })

  it('[R-815] does not wait for a controller who has lost it', async () => {
    const protocol = server(spawnLauncher(), { ringBytes: 4096 })
    const vm = execClient(await dial(protocol))
    await vm.start('sh', ['-c', 'head -c 3000000 /dev/zero'], { keep: { name: 'job' } })
    const other = await dial(protocol)
    // a controller that asks for no output
    const control = await other.open('exec', { op: 'attach', name: 'job', take: true })
    assert.equal((await vm.wait('job')).code, 0)
    control.abort(new Error('enough'))
  })

  it('[R-816] a command that is not kept has no watchers', async () => {
    const trunk = await dial(server())
    const job = await execClient(trunk).start('sleep', ['100'], { stdout: 'none', stderr: 'none' })
    const id = Buffer.from(job.id, 'hex')
    const opening = trunk.open('exec', { op: 'stream', id, stream: 'stdout', watch: true })
    assert.equal(await codeOf(opening), 'ERR_PARAMS_INVALID')
    assert.equal(
      await codeOf(trunk.open('exec', { op: 'stream', id: randomBytes(16), stream: 'stdout' })),
      'ERR_COMMAND_UNKNOWN',
    )
    job.kill()
  })
})
