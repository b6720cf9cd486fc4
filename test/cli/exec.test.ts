/** `exec`: standard streams, exit statuses, signals; and to whom `serve` offers commands. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isAlive, LAUNCHERS } from '../protocols/exec/launchers.ts'
import { loadNative } from '../../src/native/load.ts'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const hasKeeper = LAUNCHERS.some(({ kind, skip }) => kind === 'keeper' && skip === false)

for (const [kind, env] of [
  ['spawn', { TRUNKLINE_NO_KEEPER: '1' }],
  ['keeper', {}],
] as const)
  describe(`exec: ${kind}`, { skip: kind === 'keeper' && !hasKeeper && 'there is no keeper' }, () => {
    const served = (options: readonly string[] = ['--exec', 'any']) =>
      serving([...options], `unix://${join(temporaryFolder(), 's')}`, { env })

    it('passes streams, arguments and exit status through [X20]', async () => {
      const server = await served()
      const to = server.address
      const script = 'cat; printf "%s|" "$@" >&2; exit 3'
      const result = await trunkline(['exec', 'sh', '-c', script, 'sh', '-n', 'a b', '--wait'], { to, input: 'in' })
      assert.deepEqual([result.status, result.stdout, result.stderr], [3, 'in', '-n|a b|--wait|'])
      for (const [status, args] of [
        [143, ['sh', '-c', 'kill -TERM $$']],
        [124, ['--timeout', '100ms', 'sleep', '100']],
        [126, ['/etc/passwd']],
        [127, ['no-such-program']],
        [125, ['-w', '/no/such', 'true']],
        [125, ['--no-such-option', 'true']],
      ] as const)
        assert.equal((await trunkline(['exec', ...args], { to })).status, status, args.join(' '))
      assert.equal((await trunkline(['exec', '--to', 'unix:///no/such', 'true'])).status, 125)
      await server.stop()
    })

    it('[R-572] tells its own failures from the status of the program', async () => {
      const server = await served()
      const told = (command: string) =>
        `exec 3>&1; "$0" "$1" exec --to "$2" --status-fd 3 ${command} 2>/dev/null >/dev/null`
      const run = async (command: string): Promise<string> => {
        const { BINARY } = await import('../helpers/command-line.ts')
        const { execFile } = await import('node:child_process')
        return await new Promise((resolve) => {
          execFile('sh', ['-c', told(command), process.execPath, BINARY, server.address], (_, stdout) =>
            resolve(stdout),
          )
        })
      }
      assert.equal(await run(`sh -c 'exit 125'`), '{"exit":125}\n')
      assert.equal(await run('no-such-program'), '{"error":"ERR_COMMAND_NOT_FOUND"}\n')
      assert.equal(await run(`sh -c 'kill -KILL $$'`), '{"signal":"KILL"}\n')
      await server.stop()
    })

    it('ends with its program, whatever its own input does [X39]', async () => {
      const server = await served()
      const running = start(['exec', 'true'], { to: server.address })
      assert.equal((await running.ended).status, 0)
      await server.stop()
    })

    for (const [what, answer] of [
      ['at once', 'echo got; exit 7'],
      ['in a while', 'sleep 1; echo got; exit 7'],
      ['on standard error', 'echo bye >&2; echo got; exit 7'],
    ] as const) {
      it(`[R-573] passes Ctrl-C on, and ends with the status of a program that answers ${what}`, async () => {
        const server = await served()
        const script = `trap "${answer}" INT; echo up; while :; do sleep 0.05; done`
        const running = start(['exec', 'sh', '-c', script], { to: server.address })
        await running.lines(1)
        running.child.kill('SIGINT')
        const { status, stdout } = await running.ended
        assert.deepEqual([status, stdout], [7, 'up\ngot\n'])
        await server.stop()
      })
    }

    it('a program whose reader has gone meets SIGPIPE [X40]', { skip: loadNative() === undefined }, async () => {
      const server = await served()
      const running = start(['exec', 'yes'], { to: server.address })
      running.child.stdout.destroy()
      assert.equal((await running.ended).status, 141)
      await server.stop()
    })

    it('[R-574] runs what the rules of serve allow, and nothing else', async () => {
      const named = ['--exec-named', 'two=/bin/echo two **', '--exec-named', '__proto__=/bin/echo proto']
      const server = await served(['--exec', 'echo one *', ...named])
      const to = server.address
      assert.equal((await trunkline(['exec', 'echo', 'one', 'x'], { to })).stdout, 'one x\n')
      assert.equal((await trunkline(['exec', '@two', 'more'], { to })).stdout, 'two more\n')
      assert.equal((await trunkline(['exec', '@__proto__'], { to })).stdout, 'proto\n')
      for (const args of [['echo', 'two'], ['sh'], ['echo', 'one', 'x', 'y'], ['@three']]) {
        const { status, stderr } = await trunkline(['exec', ...args], { to })
        assert.equal(status, 125)
        assert.match(stderr, /ERR_DENIED/)
      }
      await server.stop()
    })

    it('looks whether --status-fd is open before the program runs', async () => {
      const server = await served()
      const { status, stdout, stderr } = await trunkline(['exec', '--status-fd', '77', 'echo', 'ran'], {
        to: server.address,
      })
      assert.deepEqual([status, stdout], [125, ''])
      assert.match(stderr, /--status-fd 77/)
      await server.stop()
    })

    it('[R-576] serve ends what ignores TERM, before it ends itself', async () => {
      const server = await served()
      const script = 'trap "" TERM INT; echo $$; while :; do sleep 0.05; done'
      const running = start(['exec', 'sh', '-c', script], { to: server.address })
      const [pid = ''] = await running.lines(1)
      await server.stop()
      await running.ended
      await eventually(() => !isAlive(Number(pid)), 'the program has ended')
    })

    it('serve runs commands as the user that it names, or says that it cannot [X24]', async () => {
      const isRoot = process.getuid?.() === 0
      const args = ['--exec', 'any', '--exec-user', isRoot ? 'daemon' : 'root']
      if (kind === 'spawn' || !isRoot) {
        const { status, stderr } = await trunkline(['serve', 'tcp://127.0.0.1:0', ...args], { env })
        assert.equal(status, 1)
        assert.match(stderr, /^trunkline: ERR_UNSUPPORTED: /)
        return
      }
      const server = await served(args)
      assert.equal((await trunkline(['exec', '-w', '/', 'id', '-un'], { to: server.address })).stdout, 'daemon\n')
      assert.equal((await trunkline(['exec', '-u', 'root', 'id'], { to: server.address })).status, 125)
      await server.stop()
    })

    it('[R-608] doctor says what this machine starts commands with [X44]', async () => {
      const { status, stdout } = await trunkline(['doctor', '--here', '--json'], { env })
      const { findings } = JSON.parse(stdout) as { findings: { check: string; level: string; what: string }[] }
      const told = findings.map(({ check, level }) => `${check} ${level}`).filter((line) => !line.startsWith('addon'))
      assert.equal(status, 0)
      assert.deepEqual(told, kind === 'keeper' ? ['keeper ok', 'tree ok'] : ['keeper note'])
      if (kind === 'keeper') assert.match(stdout, /tree: keeper/)
    })

    it('serve takes no name of a command twice', async () => {
      const named = ['--exec-named', 'a=/bin/true', '--exec-named', 'a=/bin/false']
      const { status, stderr } = await trunkline(['serve', 'tcp://127.0.0.1:0', ...named])
      assert.equal(status, 2)
      assert.match(stderr, /twice/)
    })

    it('[R-575] serve offers commands to everybody only where that is spelled out', async () => {
      for (const address of [
        'tcp://0.0.0.0:0',
        'tcp://[::]:0',
        'tcp://localhost.example:0',
        'vsock://any:70000',
        'vsock+unix:///run/vm.vsock?port=7',
        'serial+tcp://0.0.0.0:7?listen',
      ]) {
        const { status, stderr } = await trunkline(['serve', address, '--exec', 'any'])
        assert.equal(status, 2)
        assert.match(stderr, /--exec-without-token/)
      }
      const server = await serving(['--exec', 'any'], 'tcp://127.0.0.1:0')
      assert.equal((await trunkline(['exec', 'true'], { to: server.address })).status, 0)
      await server.stop()
    })
  })
