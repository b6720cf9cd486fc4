/** Kept commands at named peers, and on a terminal. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { BINARY, serving, start, trunkline } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { LAUNCHERS, shPlan } from '../protocols/exec/launchers.ts'

const [, keeper] = LAUNCHERS
const served = () => serving(['--exec', 'any'], `unix://${join(temporaryFolder(), 's')}`)

describe('kept commands', () => {
  it('are those of the peer that stands before their names [R-685]', async () => {
    const server = await served()
    const config = join(temporaryFolder(), 'config.toml')
    writeFileSync(config, `[peer.vm1]\nto = "${server.address}"\n`)
    const run = (...words: string[]) => trunkline(words, { env: { TRUNKLINE_CONFIG: config } })
    assert.equal(
      (await run('exec', '-d', '--name', 'job', '@vm1', '--', 'sh', '-c', 'echo out; exec sleep 100')).status,
      0,
    )
    assert.match((await run('ps', '@vm1')).stdout, /^job +\d+ +running/m)
    assert.equal((await run('logs', '@vm1', 'job')).stdout, 'out\n')
    assert.equal((await run('kill', '@vm1', 'job')).status, 0)
    assert.equal((await run('wait', '@vm1', 'job')).status, 143)
    assert.equal((await run('attach', '@vm1', 'job')).status, 143)
    assert.equal((await run('forget', '@vm1', 'job')).status, 0)
    const shell = await trunkline(['shell', '@vm1'], { env: { TRUNKLINE_CONFIG: config }, input: 'exit 5\n' })
    assert.equal(shell.status, 5)
    const twice = await run('logs', '@vm1')
    assert.match(twice.stderr, /which command\? @vm1 is the peer/)
    assert.match((await run('wait', '@vm1', 'job', 'other')).stderr, /one command at a time/)
    await server.stop()
  })
})

describe('a terminal', { skip: keeper?.skip ?? false }, () => {
  /**
   * Runs the command line on a terminal: when the sign of a step is shown, types what the step
   * gives. Gives what was shown, and whether the terminal is as it was.
   */
  async function onTerminal(
    to: string,
    words: string,
    ...steps: readonly (readonly [sign: string, act: (pid: number) => string])[]
  ): Promise<[shown: string, isAsBefore: boolean]> {
    const folder = temporaryFolder()
    const script = `stty -a > ${folder}/before; "$NODE" "$BINARY" ${words} & pid=$!; echo "pid $pid"; fg >/dev/null; echo "status $?"; stty -a > ${folder}/after`
    const launched = await keeper?.make().launch(
      shPlan('', {
        argv: ['sh', '-mc', script].map((text) => Buffer.from(text)),
        env: [
          `PATH=${process.env['PATH'] ?? ''}`,
          `NODE=${process.execPath}`,
          `BINARY=${BINARY}`,
          `TRUNKLINE_TO=${to}`,
          'TERM=xterm',
          'HOME=/nonexistent',
        ].map((text) => Buffer.from(text)),
        stdout: 'none',
        stderr: 'none',
        terminal: { columns: 101, rows: 31, x: 0, y: 0, modes: {} },
      }),
      new AbortController().signal,
    )
    assert.ok(launched?.terminal)
    const { input, output } = launched.terminal
    let shown = ''
    let [step, ...later] = steps
    for (let chunk; (chunk = await output.read()) !== undefined;) {
      shown += Buffer.from(chunk).toString('latin1')
      if (step === undefined || !shown.includes(step[0])) continue
      const keys = step[1](Number(/pid (\d+)/.exec(shown)?.[1]))
      ;[step, ...later] = later
      await input.write(Buffer.from(keys))
    }
    await launched.ended
    return [shown, readFileSync(`${folder}/before`).equals(readFileSync(`${folder}/after`))]
  }
  const screen = `sh -c 'printf "\\033[?1049h\\033[?25l"; stty size; echo $TERM; exec cat'`

  for (const [what, words, act, status, undoes] of [
    ['the end of the program', `exec -t ${screen}`, () => '\u0004', 0, false],
    ['~.', `exec -t ${screen}`, () => '~.', 125, true],
    ['~d of a kept one', `exec -t --name w1 ${screen}`, () => '~d', 0, true],
    ['SIGTERM', `exec -t ${screen}`, (pid: number) => (process.kill(pid, 'SIGTERM'), ''), 143, true],
    ['SIGHUP', `exec -t ${screen}`, (pid: number) => (process.kill(pid, 'SIGHUP'), ''), 129, true],
    ['Ctrl-C', `exec -t ${screen}`, () => '\u0003', 130, true],
  ] as const)
    it(`[R-641] is as it was after ${what} [X31]`, async () => {
      const server = await served()
      const [shown, isAsBefore] = await onTerminal(server.address, words, ['xterm\r\n', act])
      await server.stop()
      assert.match(shown, /31 101\r\nxterm\r\n/)
      assert.match(shown, new RegExp(`status ${status}\r\n`))
      assert.ok(isAsBefore, 'its modes are those of before')
      assert.equal(shown.includes('\u001B[?1049l\u001B[?25h'), undoes, JSON.stringify(shown))
    })

  it('[R-642] is as it was after the server was killed, and the status says that it was not the program’s [X31]', async () => {
    const server = await served()
    const [shown, isAsBefore] = await onTerminal(server.address, `exec -t ${screen}`, [
      'xterm\r\n',
      () => {
        server.running.child.kill('SIGKILL')
        return ''
      },
    ])
    assert.ok(shown.includes('\u001B[?1049l\u001B[?25h'), JSON.stringify(shown))
    assert.match(shown, /ERR_[A-Z_]+.*\r\nstatus 125\r\n/)
    assert.ok(isAsBefore)
  })

  it('[R-802] takes the keys of whoever comes after one whose input had ended', async () => {
    const server = await served()
    const to = server.address
    await trunkline(['exec', '-d', '-t', '--name', 'ed', 'sh', '-c', 'stty raw -echo; printf up; exec cat'], { to })
    const first = start(['attach', 'ed', '--from', '0'], { to, input: 'x' })
    await eventually(() => first.stdout() === 'upx', 'the first has written, and its input has ended', 20_000)
    first.child.kill('SIGKILL')
    await first.ended
    const [shown, isAsBefore] = await onTerminal(
      to,
      'attach ed --take --from 0',
      ['upx', () => 'y'],
      ['upxy', () => '\r~.'],
    )
    assert.match(shown, /status 0\r\n/)
    assert.ok(isAsBefore)
    await server.stop()
  })

  it('[R-803] is left by ~. also where the program has read nothing of what was typed', async () => {
    const server = await served()
    const [shown, isAsBefore] = await onTerminal(
      server.address,
      `exec -t sh -c 'stty raw -echo; printf up; exec sleep 1000'`,
      ['up', () => `${'x'.repeat(600_000)}\r~.`],
    )
    assert.match(shown, /status 125\r\n/)
    assert.ok(isAsBefore)
    await server.stop()
  })

  it('[R-804] shell -d has one, whatever ours are', async () => {
    const server = await served()
    const to = server.address
    assert.equal((await trunkline(['shell', '-d', '--name', 'work'], { to })).stdout, 'work\n')
    const [row = ''] = (await trunkline(['ps', '--json'], { to })).stdout.trim().split('\n')
    const { tty, state } = JSON.parse(row) as { tty: boolean; state: string }
    assert.deepEqual([tty, state], [true, 'running'])
    // the files that the user's shell reads are the user's own: it ends by itself, and leaves no
    // lock
    const { stderr } = await trunkline(['attach', 'work'], { to, input: '\u0003exit\r' })
    assert.equal(stderr, '')
    await server.stop()
  })
})
