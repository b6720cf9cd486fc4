/** Commands over a trunk: what the server promises of them, and what the client checks. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { afterEach, describe, it } from 'node:test'
import { createBudgets, defineProtocol, type Trunk, type TrunkError } from '../../../src/index.ts'
import { encodeControl } from '../../../protocols/exec/control.ts'
import { execOver } from '../../../protocols/exec/server.ts'
import { keeperLauncher } from '../../../protocols/exec/keeper/launch-keeper.ts'
import { exec, execClient, type CommandEvent, type ExecOptions } from '../../../protocols/exec.ts'
import { eventually } from '../../helpers/eventually.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
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

    it('gives exit status and output of a command, whatever the status [X20]', async () => {
      const vm = await client()
      for (const code of [0, 1, 3, 124, 127, 255]) {
        const result = await vm.run('sh', ['-c', `echo out; echo err >&2; exit ${code}`])
        assert.deepEqual([result.code, result.signal, result.stdout, result.stderr], [code, null, 'out\n', 'err\n'])
      }
      const killed = await vm.run('sh', ['-c', 'kill -TERM $$'])
      assert.deepEqual([killed.code, killed.signal], [null, 'TERM'])
    })

    it('[R-600] tells by what the processes of a command are kept together', async () => {
      const [near] = await served()
      const params = { op: 'start', argv: ['true'], stdin: 'none', stdout: 'none', stderr: 'none' }
      const pipe = await near.open('exec', { ...params, id: randomBytes(16) })
      assert.equal((pipe.reply as { tree: string }).tree, kind === 'keeper' ? 'keeper' : 'group')
      await pipe.close()
      // what `exec` takes by itself is the best that this machine has
      const pair = await trunkPair({}, { protocols: [exec({ allow: 'any', directory: '/' })] })
      open.push(...pair)
      const own = await pair[0].open('exec', { ...params, id: randomBytes(16) })
      assert.equal((own.reply as { tree: string }).tree, keeperLauncher() === undefined ? 'group' : 'keeper')
      await own.close()
    })

    it('drops nothing in silence where too much output is to end the command', async () => {
      const vm = await client()
      const said = (bytes: number) =>
        vm.run('sh', ['-c', `head -c ${bytes} /dev/zero`], { maxOutputBytes: 100, overflow: 'kill' })
      assert.equal((await said(100)).stdoutDropped, 0)
      assert.equal(await codeOf(said(101)), 'ERR_OUTPUT_LIMIT')
    })

    it('holds to its own time limit, whatever the client asks for and how often', async () => {
      const vm = await client({ maxTimeoutMs: 400 })
      const command = await vm.start('sleep', ['100'], { stdout: 'none', stderr: 'none' })
      let isOver = false
      const over = command.exit.then(({ timedOut }) => {
        isOver = true
        return timedOut
      })
      const began = performance.now()
      await eventually(() => {
        command.limitTime(undefined).catch(() => undefined)
        return isOver || performance.now() - began > 4_000
      }, 'the command has ended')
      assert.ok(isOver, 'it still runs after ten times its limit')
      assert.equal(await over, true)
    })

    it('tells that it knows no more of what a command left', async () => {
      const vm = await client()
      const command = await vm.start('sh', ['-c', 'sleep 1 & true'], { stdout: 'none', stderr: 'none' })
      assert.equal((await command.exit).leftovers, 1)
      assert.equal(await codeOf(command.empty), 'ERR_UNSUPPORTED')
    })

    it('keeps no specs of starts that were refused, and no timer for them', async () => {
      const clock = manualClock()
      const vm = await client({ clock })
      const long = 'x'.repeat(100_000)
      for (let i = 0; i < 20; i++)
        assert.equal(await codeOf(vm.run('no-such-program', [long])), 'ERR_COMMAND_NOT_FOUND')
      assert.equal(clock.pending, 0)
    })

    it('carries arguments as they are, also more than an open holds [X01] [X02]', async () => {
      const vm = await client()
      const odd = ['a b', '"$(no)`', 'two\nlines', '', '~', '*']
      const shown = await vm.run('printf', ['%s\\0', ...odd])
      assert.equal(shown.stdout, odd.map((text) => `${text}\0`).join(''))
      const many = Array.from({ length: 1000 }, (_, i) => `${i}`.padEnd(200, 'x'))
      const listed = await vm.run('sh', ['-c', 'printf "%s\\n" "$@"', 'sh', ...many])
      assert.equal(listed.stdout, many.map((text) => `${text}\n`).join(''))
      assert.equal(await codeOf(vm.run('true', ['x'.repeat(2 * 1024 * 1024)])), 'ERR_ARGUMENTS_TOO_LARGE')
      assert.equal(
        await codeOf(
          vm.run(
            'true',
            Array.from({ length: 1024 }, () => ''),
          ),
        ),
        'ERR_ARGUMENTS_TOO_LARGE',
      )
      assert.equal(await codeOf(vm.run('true', ['a\0b'])), 'ERR_BAD_ARGUMENT')
    })

    it('refuses what cannot be executed with the code of the stage, and its streams as well [X22] [X23]', async () => {
      const [near] = await served()
      const vm = execClient(near)
      assert.equal(await codeOf(vm.run('no-such-program')), 'ERR_COMMAND_NOT_FOUND')
      assert.equal(await codeOf(vm.run('/etc')), 'ERR_NOT_EXECUTABLE')
      assert.equal(await codeOf(vm.run('/etc/passwd')), 'ERR_NOT_EXECUTABLE')
      assert.equal(await codeOf(vm.run('no-such-program', [], { cwd: '/no/such' })), 'ERR_DIRECTORY_UNUSABLE')
      assert.equal(await codeOf(vm.run('true', [], { cwd: '/no/such' })), 'ERR_DIRECTORY_UNUSABLE')
      assert.equal(await codeOf(vm.run('true', [], { user: 'nobody-here' })), 'ERR_DENIED')
      const id = randomBytes(16)
      const start = near.open('exec', {
        op: 'start',
        id,
        argv: ['none'],
        stdin: 'none',
        stdout: 'pipe',
        stderr: 'none',
      })
      const stream = near.open('exec', { op: 'stream', id, stream: 'stdout' })
      assert.equal(await codeOf(start), 'ERR_COMMAND_NOT_FOUND')
      assert.equal(await codeOf(stream), 'ERR_COMMAND_NOT_FOUND')
    })

    it('carries standard input to its end, and says when nobody reads it [X10] [X11]', async () => {
      const vm = await client()
      const mebibyte = Buffer.alloc(1024 * 1024, 'x')
      const counted = await vm.run('wc', ['-c'], { stdin: Array.from({ length: 8 }, () => mebibyte) })
      assert.equal(counted.stdout.trim(), String(8 * mebibyte.byteLength))
      assert.equal((await vm.run('sh', ['-c', 'exit 7'], { stdin: mebibyte })).code, 7)
      const deaf = await vm.start('sh', ['-c', 'exec 0<&-; sleep 100'], { stdin: 'pipe' })
      const write = async (): Promise<void> => {
        for (;;) await deaf.stdin?.write(mebibyte)
      }
      assert.equal(await codeOf(write()), 'ERR_STDIN_CLOSED')
      deaf.kill()
    })

    it('gives every byte, however late it is read, and checks the count [X07]', async () => {
      const vm = await client()
      for (let i = 0; i < 5; i++) {
        const result = await vm.run('seq', ['1', '100000'])
        assert.equal(result.stdout.length, 588_895)
      }
      const late = await vm.start('seq', ['1', '5000'])
      await late.exit
      let bytes = 0
      for await (const data of late.stdout ?? []) bytes += data.byteLength
      assert.equal(bytes, 23_893)
    })

    it('a stream that nobody reads stops no other [X05]', async () => {
      const vm = await client()
      const script =
        'i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero; i=$((i+1)); done; exec head -c 9999999 /dev/zero >&2'
      const command = await vm.start('sh', ['-c', script])
      let bytes = 0
      for await (const data of command.stdout ?? []) {
        bytes += data.byteLength
        if (bytes === 4_000_000) break
      }
      assert.equal(bytes, 4_000_000)
      command.kill()
    })

    it(
      'ends a command whose output nobody wants by SIGPIPE [X40]',
      { skip: process.env['TRUNKLINE_NO_ADDON'] !== undefined },
      async () => {
        const vm = await client()
        const yes = await vm.start('yes')
        for await (const _ of yes.stdout ?? []) break
        assert.equal((await yes.exit).signal, 'PIPE')
      },
    )

    it('tells the exit at once and counts what is left, though that holds the output [X12]', async () => {
      const events: CommandEvent[] = []
      const [near] = await served({ onCommand: (event) => events.push(event) })
      const result = await execClient(near).run('sh', ['-c', 'sleep 100 & echo $!'])
      assert.equal(result.leftovers, 1)
      const pid = Number(result.stdout)
      assert.ok(isAlive(pid))
      await near.close()
      assert.ok(isAlive(pid), 'what was left lives on')
      assert.deepEqual(
        events.map(({ what, leftovers }) => [what, leftovers]),
        [
          ['started', undefined],
          ['exited', 1],
        ],
      )
      process.kill(pid, 'SIGKILL')
    })

    it('refuses starts beyond maxLeftovers, until what was left has ended [X12]', async () => {
      const vm = await client({ maxLeftovers: 1 })
      const { stdout } = await vm.run('sh', ['-c', 'sleep 100 & echo $!'])
      assert.equal(await codeOf(vm.run('true')), 'ERR_PROCESS_LIMIT')
      process.kill(Number(stdout), 'SIGKILL')
      await eventually(() => !isAlive(Number(stdout)), 'it has ended')
      assert.equal((await vm.run('true')).code, 0)
    })

    it('[R-603] accounts for the descriptors that what is left behind still holds', async () => {
      const budgets = createBudgets()
      const used = () => budgets.status().descriptors.used
      const protocol = execOver({ allow: 'any', directory: '/' }, make())
      const pair = await trunkPair({}, { protocols: [protocol], budgets })
      open.push(...pair)
      const idle = used()
      const { stdout } = await execClient(pair[0]).run('sh', ['-c', 'sleep 100 & echo $!'])
      await pair[0].close()
      assert.ok(used() > idle, 'an output is held')
      process.kill(Number(stdout), 'SIGKILL')
      await eventually(() => used() === 0, 'all were given back')
    })

    it('kills what is left where that is asked for [X13]', async () => {
      const vm = await client()
      const command = await vm.start('sh', ['-c', 'sleep 100 & echo $!'], { leftovers: 'kill' })
      let text = ''
      for await (const data of command.stdout ?? []) text += Buffer.from(data.subarray()).toString()
      await command.empty
      assert.ok(!isAlive(Number(text)))
    })

    for (const [how, end] of [
      ['the pipe is reset', (command: { kill(): void }) => command.kill()],
      ['the session is lost', (_: unknown, near: Trunk) => near.abort(new Error('gone'))],
    ] as const)
      it(`kills the whole tree when ${how} [X15] [X17]`, async () => {
        const events: CommandEvent[] = []
        const [near] = await served({ killGraceMs: 50, onCommand: (event) => events.push(event) })
        const script = 'trap "" TERM; (trap "" TERM; sleep 100; sleep 100) & echo $!; wait; wait; wait'
        const command = await execClient(near).start('sh', ['-c', script])
        const first = await (command.stdout as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next()
        const pid = Number(Buffer.from((first.value as { subarray(): Uint8Array }).subarray()).toString())
        assert.ok(isAlive(pid) && isAlive(command.pid))
        end(command, near)
        await eventually(() => !isAlive(pid) && !isAlive(command.pid), 'all of it is gone')
        await eventually(() => events.some(({ what }) => what === 'exited'), 'the slot is free')
        assert.match(await codeOf(command.exit), /^ERR_(ABORTED|SESSION_ABORTED)$/)
      })

    it('delivers what came before the time limit, and says that it was that [X19]', async () => {
      const vm = await client()
      const result = await vm.run('sh', ['-c', 'echo before; exec sleep 100'], { timeoutMs: 300 })
      assert.deepEqual([result.timedOut, result.signal, result.stdout], [true, 'TERM', 'before\n'])
      const check = vm.run('sleep', ['100'], { timeoutMs: 20, check: true })
      await assert.rejects(check, { code: 'ERR_COMMAND_TIMEOUT' })
      const capped = await (await client({ maxTimeoutMs: 20 })).run('sleep', ['100'])
      assert.equal(capped.timedOut, true)
    })

    it('[R-566] ends a command by an AbortSignal', async () => {
      const vm = await client()
      const aborted = new AbortController()
      const command = await vm.start('sleep', ['100'], { signal: aborted.signal })
      aborted.abort(new Error('enough'))
      assert.equal(await codeOf(command.exit), 'ERR_ABORTED')
      await eventually(() => !isAlive(command.pid), 'it has ended')
    })

    it('[R-567] sends signals that the policy has, and no others', async () => {
      const vm = await client({ signals: ['USR1'] })
      const command = await vm.start('sh', ['-c', 'trap "echo got" USR1; echo up; while :; do sleep 0.05; done'])
      const lines: string[] = []
      for await (const data of command.stdout ?? []) {
        lines.push(Buffer.from(data.subarray()).toString())
        if (lines.length === 1) await command.signal('SIGUSR1', 'leader')
        else break
      }
      assert.deepEqual(lines, ['up\n', 'got\n'])
      // who sends what is not allowed loses the command
      await command.signal('TERM')
      assert.equal(await codeOf(command.exit), 'ERR_DENIED')
      await eventually(() => !isAlive(command.pid), 'it has ended')
    })

    it('[R-569] paces starts where the server says so', async () => {
      const vm = await client({ startBurst: 2, startsPerSecond: 1 })
      const codes = await Promise.all([1, 2, 3, 4, 5].map(() => codeOf(vm.run('true'))))
      assert.equal(codes.filter((code) => code === 'ERR_PROCESS_LIMIT').length, 3)
    })

    it('[R-570] keeps the first and the last of a large output, and counts the rest', async () => {
      const vm = await client()
      const result = await vm.run('seq', ['1', '100000'], { maxOutputBytes: 20 })
      assert.equal(result.stdoutDropped, 588_895 - 20)
      assert.equal(result.stdout, '1\n2\n3\n4\n5\n99\n100000\n')
      assert.equal(await codeOf(vm.run('yes', [], { maxOutputBytes: 100, overflow: 'kill' })), 'ERR_OUTPUT_LIMIT')
    })

    it('keeps the environment of the server at home [X25]', async () => {
      process.env['TOKEN_OF_SERVER'] = 'secret'
      try {
        const vm = await client()
        const names = (await vm.run('env', [], { env: { MINE: 'x' } })).stdout.match(/^\w+(?==)/gm) ?? []
        assert.deepEqual(
          names.filter((name) => !['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG'].includes(name)),
          ['MINE'],
        )
        assert.equal((await vm.run('/usr/bin/env', [], { env: { A: 'b' }, clearEnv: true })).stdout, 'A=b\n')
        const strict = await client({ allow: [['env']] })
        assert.equal(await codeOf(strict.run('env', [], { env: { LD_PRELOAD: 'x' } })), 'ERR_DENIED')
        assert.equal(await codeOf(strict.run('env', [], { env: { PATH: '/tmp' } })), 'ERR_DENIED')
        assert.match((await strict.run('env', [], { env: { LC_ALL: 'C' } })).stdout, /^LC_ALL=C$/m)
      } finally {
        delete process.env['TOKEN_OF_SERVER']
      }
    })

    it('a session that is lost in mid-output is no end of it [X08]', async () => {
      const [near, far] = await served()
      const command = await execClient(near).start('yes')
      const read = async (): Promise<void> => {
        let bytes = 0
        for await (const data of command.stdout ?? []) {
          bytes += data.byteLength
          if (bytes > 100_000) far.abort(new Error('cut'))
        }
      }
      assert.equal(await codeOf(read()), 'ERR_SESSION_ABORTED')
      assert.equal(await codeOf(command.exit), 'ERR_SESSION_ABORTED')
    })

    it('[R-571] an input that was cut is not taken for a whole one', async () => {
      const folder = temporaryFolder()
      const vm = await client()
      const command = await vm.start('sh', ['-c', `cat > /dev/null; touch ${folder}/whole; sleep 100`], {
        stdin: 'pipe',
      })
      await command.stdin?.write(Buffer.from('half'))
      command.stdin?.abort(new Error('cut'))
      const { signal } = await command.exit
      assert.equal(signal, 'TERM')
      assert.ok(!existsSync(`${folder}/whole`))
    })

    it('a client that sends what is no message loses the command, and the trunk goes on [X38]', async () => {
      const [near] = await served()
      for (const bad of [Buffer.from([0, 0xff, 0, 0]), encodeControl(['signal', 'no signal', 'group'])]) {
        const id = randomBytes(16)
        const params = { op: 'start', id, argv: ['sleep', '100'], stdin: 'none', stdout: 'none', stderr: 'none' }
        const pipe = await near.open('exec', params)
        const { pid } = pipe.reply as { pid: number }
        assert.ok(isAlive(pid))
        await pipe.write(bad)
        assert.equal(await codeOf(pipe.close()), 'ERR_MESSAGE_INVALID')
        await eventually(() => !isAlive(pid), 'it has ended')
      }
      for (const params of [{ op: 'start' }, { op: 'start', id: randomBytes(3) }, { op: 'none' }, null, 'x'])
        assert.equal(await codeOf(near.open('exec', params)), 'ERR_PARAMS_INVALID')
      const unknown = { op: 'stream', id: randomBytes(16), stream: 'stdout' }
      assert.equal(await codeOf(near.open('exec', unknown)), 'ERR_COMMAND_UNKNOWN')
      assert.equal((await execClient(near).run('true')).code, 0)
    })

    it('a server that lies about the end or the count is found out [X37]', async () => {
      const details = { core: false, timedOut: false, stdout: 0, stderr: 0, leftovers: 0 }
      const lies = {
        'too few': [
          ['exit', 0, null, details],
          ['drained', 'stdout', 1, false],
        ],
        'two ends': [
          ['exit', 0, null, details],
          ['exit', 0, null, details],
        ],
        'both ends': [['exit', 0, 'TERM', details]],
        'no end': [['drained', 'stdout', 2, false]],
        'no count': [['exit', 0, null, details]],
      } as const
      for (const [what, messages] of Object.entries(lies)) {
        const liar = defineProtocol<{ op: string; id: Uint8Array }>({
          name: 'exec',
          parse: (params) => params as { op: string; id: Uint8Array },
          async handle({ params, accept }) {
            if (params.op === 'start') {
              const pipe = accept({ id: params.id, pid: 1, user: 'x', tree: 'group' })
              for (const message of messages) await pipe.write(encodeControl(message))
            } else await accept({ from: 0, dropped: 0 }).write(Buffer.from('ab'))
          },
        })
        const pair = await trunkPair({}, { protocols: [liar] })
        open.push(...pair)
        assert.equal(await codeOf(execClient(pair[0]).run('x', [], { stderr: 'none' })), 'ERR_MESSAGE_INVALID', what)
        assert.equal(pair[0].status().state, 'open')
      }
    })
  })
