/** Commands in numbers. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { type Trunk, type TrunkError } from '../../../src/index.ts'
import { execOver } from '../../../protocols/exec/server.ts'
import { execClient, type ExecOptions } from '../../../protocols/exec.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'
import { isAlive, LAUNCHERS } from './launchers.ts'

for (const { kind, make, skip } of LAUNCHERS)
  describe(`exec: ${kind}`, { skip: skip ?? false }, () => {
    const open: Trunk[] = []
    afterEach(async () => {
      for (const trunk of open.splice(0)) await trunk.close()
    })

    async function served(options: Partial<ExecOptions> = {}): Promise<[near: Trunk, far: Trunk]> {
      const pair = await trunkPair(
        {},
        {
          protocols: [execOver({ allow: 'any', directory: '/', ...options }, make(options.clock))],
        },
      )
      open.push(...pair)
      return pair
    }
    const client = async (options?: Partial<ExecOptions>) => execClient((await served(options))[0])
    const codeOf = (work: Promise<unknown>): Promise<string> =>
      work.then(
        () => 'resolved',
        (error: unknown) => (error as TrunkError).code,
      )

    it('[R-568] has at most maxCommands of a trunk, until their trees are gone [X27]', async () => {
      const vm = await client({ maxCommands: 2, killGraceMs: 50 })
      const first = await vm.start('sh', ['-c', 'trap "" TERM; echo up; while :; do sleep 1; done'])
      for await (const _ of first.stdout ?? []) break
      await vm.start('sleep', ['100'])
      assert.equal(await codeOf(vm.run('true')), 'ERR_PROCESS_LIMIT')
      first.kill()
      assert.equal(
        await codeOf(vm.run('true')),
        'ERR_PROCESS_LIMIT',
        'it ignores TERM, and its slot is taken until KILL',
      )
      let last = ''
      while ((last = await codeOf(vm.run('true'))) === 'ERR_PROCESS_LIMIT');
      assert.equal(last, 'resolved')
      assert.ok(!isAlive(first.pid))
    })

    it('runs 64 commands at once, each with its own output [X28]', async () => {
      const vm = await client()
      const results = await Promise.all(
        Array.from({ length: 64 }, (_, i) => vm.run('sh', ['-c', `echo ${i}; echo e${i} >&2; exit ${i}`])),
      )
      assert.deepEqual(
        results.map(({ code, stdout, stderr }) => [code, stdout, stderr]),
        results.map((_, i) => [i, `${i}\n`, `e${i}\n`]),
      )
    })
  })
