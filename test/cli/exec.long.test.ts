/**
 * `exec`, whatever starts its commands: its own failures, what ignores signals; and to whom `serve`
 * offers commands.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isAlive } from '../protocols/exec/launchers.ts'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { environmentOf, everydayExec, noneOf, OTHER, servedBy, USUAL } from './exec-suite.ts'

everydayExec(OTHER)

for (const kind of [USUAL, OTHER])
  describe(`exec: ${kind}`, { skip: noneOf(kind) }, () => {
    const env = environmentOf(kind)
    const served = (options?: readonly string[]) => servedBy(kind, options)

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
