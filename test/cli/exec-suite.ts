/** What `exec` does every day, whatever starts its commands. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { LAUNCHERS } from '../protocols/exec/launchers.ts'
import { loadNative } from '../../src/native/load.ts'
import { serving, start, trunkline, type Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const KINDS = { spawn: { TRUNKLINE_NO_KEEPER: '1' }, keeper: {} } as const
type Kind = keyof typeof KINDS

const hasKeeper = LAUNCHERS.some(({ kind, skip }) => kind === 'keeper' && skip === false)
/** What commands are started with here. */
export const USUAL: Kind = hasKeeper ? 'keeper' : 'spawn'
export const OTHER: Kind = hasKeeper ? 'spawn' : 'keeper'

/** Why nothing is started with `kind` here. */
export const noneOf = (kind: Kind): string | false => kind === 'keeper' && !hasKeeper && 'there is no keeper'

export const environmentOf = (kind: Kind): Record<string, string> => KINDS[kind]

/** Serves commands that are started with `kind`. */
export const servedBy = (kind: Kind, options: readonly string[] = ['--exec', 'any']): Promise<Serving> =>
  serving([...options], `unix://${join(temporaryFolder(), 's')}`, { env: environmentOf(kind) })

export function everydayExec(kind: Kind): void {
  describe(`exec: ${kind}`, { skip: noneOf(kind) }, () => {
    const served = (options?: readonly string[]) => servedBy(kind, options)

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
  })
}
