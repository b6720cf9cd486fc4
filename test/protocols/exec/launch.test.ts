/** What each way to start programs has to do, whatever it is made of. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, it } from 'node:test'
import type { Launched, LaunchPlan } from '../../../protocols/exec/launch.ts'
import { eventually } from '../../helpers/eventually.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { allOf, isAlive, LAUNCHERS, shPlan } from './launchers.ts'

const NEVER = new AbortController().signal
const utf8 = (texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text))

for (const { kind, make, skip, pipes } of LAUNCHERS)
  describe(`a launcher: ${kind}`, { skip: skip ?? false }, () => {
    const running: Launched[] = []
    afterEach(async () => {
      for (const program of running.splice(0)) {
        program.stdout?.close()
        program.stderr?.close()
        program.kill(0)
        await program.empty()
      }
    })

    async function launch(plan: LaunchPlan): Promise<Launched> {
      const program = await make().launch(plan, NEVER)
      running.push(program)
      return program
    }

    const codeOf = async (plan: LaunchPlan): Promise<string> => {
      try {
        await launch(plan)
        return 'executed'
      } catch (error) {
        return (error as { code: string }).code
      }
    }

    it('[X01] passes arguments and environment on as they are', async () => {
      const odd = ['a b', '"', "'", '$(echo no)', 'two\nlines', '', '*', 'ü', '-n']
      const argv = utf8(['sh', '-c', 'printf "%s\\0" "$@"; cat /proc/$$/environ', 'name', ...odd])
      const env = utf8(['PATH=/usr/bin:/bin', 'ODD=a=b c\n'])
      const program = await launch(shPlan('', { argv, env }))
      const out = await allOf(program.stdout)
      assert.equal(out.toString(), [...odd, 'PATH=/usr/bin:/bin', 'ODD=a=b c\n', ''].join('\0'))
      assert.deepEqual((await program.ended).code, 0)
    })

    it('[R-560] executes the file, whatever its first argument says', async () => {
      const program = await launch(shPlan('', { argv: utf8(['other', '-c', 'echo "$0"']) }))
      assert.equal((await allOf(program.stdout)).toString(), 'other\n')
    })

    it('[X22] [X23] tells a missing folder, a missing program and one that cannot be executed apart', async () => {
      const folder = temporaryFolder()
      const file = (name: string, content: string, mode: number): Buffer => {
        writeFileSync(`${folder}/${name}`, content)
        chmodSync(`${folder}/${name}`, mode)
        return Buffer.from(`${folder}/${name}`)
      }
      mkdirSync(`${folder}/folder`)
      const missing = Buffer.from(`${folder}/missing`)
      assert.equal(await codeOf(shPlan('', { directory: missing, file: missing })), 'ERR_DIRECTORY_UNUSABLE')
      assert.equal(await codeOf(shPlan('', { directory: Buffer.from('/bin/sh') })), 'ERR_DIRECTORY_UNUSABLE')
      for (const [what, executable] of [
        ['a folder', Buffer.from(`${folder}/folder`)],
        ['no right', file('plain', 'text', 0o644)],
        ['no interpreter', file('script', '#!/no/such/interpreter\n', 0o755)],
        ['of no machine', file('noise', '\u0001\u0002\u0003', 0o755)],
      ] as const)
        assert.equal(await codeOf(shPlan('', { file: executable })), 'ERR_NOT_EXECUTABLE', what)
      const long = 'x'.repeat(300_000)
      assert.equal(await codeOf(shPlan('', { argv: utf8(['sh', '-c', ':', long]) })), 'ERR_ARGUMENTS_TOO_LARGE')
      assert.equal(running.length, 0)
    })

    it('[X07] gives every byte, also to a reader that comes after the exit', async () => {
      for (let i = 0; i < 20; i++) {
        const program = await launch(shPlan('printf %60000d 1; printf %60000d 2 >&2; exit 3'))
        const early = i % 2 === 0 ? allOf(program.stdout) : undefined
        assert.equal((await program.ended).code, 3)
        assert.equal((await (early ?? allOf(program.stdout))).byteLength, 60_000)
        assert.equal((await allOf(program.stderr)).byteLength, 60_000)
      }
    })

    it('[X06] is stopped by a reader that does not read', async () => {
      const program = await launch(shPlan('yes & yes_pid=$!; echo $yes_pid >&2; wait'))
      const pid = Number(await program.stderr?.read())
      const written = (): string => processWrites(pid)
      await eventually(() => written() !== '', 'yes writes')
      let last = ''
      await eventually(() => {
        const now = written()
        const isSame = now === last && now !== ''
        last = now
        return isSame
      }, 'yes is stopped')
    })

    it('[X10] carries standard input to its end', async () => {
      const program = await launch(shPlan('wc -c', { stdin: 'pipe' }))
      const chunk = Buffer.alloc(64 * 1024)
      for (let i = 0; i < 64; i++) assert.equal(await program.stdin?.write(chunk), true)
      program.stdin?.end()
      assert.equal((await allOf(program.stdout)).toString().trim(), String(64 * chunk.byteLength))
    })

    it('[X11] says that nobody reads standard input any more', async () => {
      const program = await launch(shPlan('exec 0<&-; echo closed; read x; sleep 100', { stdin: 'pipe' }))
      await program.stdout?.read()
      let taken = 0
      while ((await program.stdin?.write(Buffer.alloc(1024))) === true) taken++
      assert.ok(taken < 1000)
      assert.equal(await program.stdin?.write(Buffer.alloc(1)), false)
    })

    it('[X03] lets a program open its own standard streams', { skip: !pipes && 'they are sockets' }, async () => {
      const program = await launch(shPlan('cat /dev/stdin | tee /dev/stdout; echo e > /dev/stderr', { stdin: 'pipe' }))
      await program.stdin?.write(Buffer.from('x'))
      program.stdin?.end()
      assert.equal((await allOf(program.stdout)).toString(), 'xx')
      assert.equal((await allOf(program.stderr)).toString(), 'e\n')
      assert.equal((await program.ended).code, 0)
    })

    it('[R-565] merges standard error into standard output, in order', { skip: !make().can.merge }, async () => {
      const script = 'i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done'
      const program = await launch(shPlan(script, { stderr: 'merge' }))
      const lines = (await allOf(program.stdout)).toString().trim().split('\n')
      assert.deepEqual(
        lines,
        Array.from({ length: 50 }, (_, i) => String(i)),
      )
      assert.equal(program.stderr, undefined)
    })

    it(
      '[X40] whoever writes after its output is closed meets SIGPIPE',
      { skip: !pipes && 'they are sockets' },
      async () => {
        const program = await launch(shPlan('exec yes'))
        await program.stdout?.read()
        program.stdout?.close()
        assert.deepEqual(await program.ended.then(({ code, signal }) => [code, signal]), [null, 'PIPE'])
      },
    )

    it('[X14] a writer goes on undisturbed whose output is discarded', async () => {
      const folder = temporaryFolder()
      const program = await launch(shPlan(`yes | head -c 1000000; echo done > ${folder}/done; exec sleep 100`))
      await program.stdout?.read()
      program.stdout?.discard()
      assert.equal(await program.stdout?.read(), undefined)
      await eventually(() => existsSync(`${folder}/done`), 'all was written')
    })

    it('[X12] tells the end although a process in the background has its output, and counts that', async () => {
      const program = await launch(shPlan('sleep 100 & echo $!'))
      const pid = Number(await program.stdout?.read())
      assert.equal((await program.ended).code, 0)
      assert.equal(program.count(), 1)
      assert.ok(isAlive(pid))
      program.kill(0)
      await program.empty()
      assert.equal(program.count(), 0)
      assert.ok(!isAlive(pid))
    })

    it('[X18] ends a tree that ignores TERM and is stopped, after the grace', async () => {
      const program = await launch(shPlan('trap "" TERM HUP; sleep 100 & echo $!; kill -STOP $$; wait; wait'))
      const pid = Number(await program.stdout?.read())
      await eventually(() => isAlive(pid), 'the child lives')
      program.kill(50)
      await program.empty()
      assert.ok(!isAlive(program.pid) && !isAlive(pid))
      assert.equal((await program.ended).signal, 'KILL')
    })

    it('[R-561] a tree that ends by TERM waits for no grace', async () => {
      const program = await launch(shPlan('sleep 100 & exec sleep 100'))
      program.kill(2 ** 30)
      await program.empty()
      assert.equal((await program.ended).signal, 'TERM')
    })

    it('[R-562] ends what has left the session while its parent lives', async () => {
      const program = await launch(shPlan('setsid sh -c \'trap "" TERM; echo $$; sleep 100; sleep 100\' & wait'))
      const pid = Number(await program.stdout?.read())
      program.kill(50)
      await program.empty()
      await eventually(() => !isAlive(pid), 'what has left is gone')
    })

    it('[X21] names the signal that ended it', async () => {
      for (const name of ['HUP', 'INT', 'QUIT', 'KILL', 'TERM', 'USR1', 'SEGV']) {
        const program = await launch(shPlan(`kill -${name} $$; sleep 100`))
        assert.deepEqual(await program.ended.then(({ code, signal }) => [code, signal]), [null, name])
      }
    })

    it('[R-563] delivers signals to the leader and to its group', async () => {
      const program = await launch(shPlan('trap "echo got" USR1; sleep 100 & echo $!; wait; wait'))
      const pid = Number(await program.stdout?.read())
      assert.equal(program.signal('USR1', 'leader'), true)
      assert.equal(String(await program.stdout?.read()), 'got\n')
      assert.ok(isAlive(pid))
      assert.equal(program.signal('KILL', 'group'), true)
      assert.equal((await program.ended).signal, 'KILL')
      await program.empty()
      assert.ok(!isAlive(pid))
      assert.equal(program.signal('KILL', 'group'), false)
    })

    it('[R-564] leaves nothing of a launch that is given up', async () => {
      const aborted = new AbortController()
      const launching = make().launch(shPlan('sleep 100'), aborted.signal)
      aborted.abort(new Error('given up'))
      await assert.rejects(launching, /given up/)
    })
  })

function processWrites(pid: number): string {
  try {
    return /^wchar: \d+$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[0] ?? ''
  } catch {
    return ''
  }
}
