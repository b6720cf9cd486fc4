/** Commands of a server of its own whose processes hide in each of the ways that there are. */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { execClient } from '../../protocols/exec.ts'
import { connect, type Trunk } from '../../src/index.ts'
import { serving, type Serving } from './command-line.ts'
import { eventually } from './eventually.ts'
import { marked } from './keeper.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** setsid, two forks, nohup, deaf ones and one that is stopped. */
const HIDING = `
  setsid sh -c '(trap "" TERM HUP; sleep 1001; sleep 1002) & setsid sleep 1003 & wait' &
  (setsid sh -c '(trap "" TERM HUP INT; sleep 1004; sleep 1005) & exec sleep 1006' &)
  nohup sleep 1007 >/dev/null 2>&1 &
  sleep 1008 & kill -STOP $!
  wait; wait`
/** Long enough for those that listen to end by themselves. */
const GRACE_MS = 50

let count = 0

/** A server of commands, and a session with it. */
export async function commandServer(): Promise<{ server: Serving; trunk: Trunk; pid: number }> {
  const server = await serving(['--exec', 'any'], `unix://${join(temporaryFolder(), 's')}`)
  return { server, trunk: await connect(server.address), pid: server.running.child.pid ?? 0 }
}

/**
 * Kills a server at some moment while trees of it begin, run and end; resolves when nothing is
 * left.
 */
export async function killedAtSomeMoment(): Promise<void> {
  const { server, trunk } = await commandServer()
  const mark = `kept-${process.pid}-${++count}`
  const vm = execClient(trunk)
  const options = { env: { MARK: mark }, killGraceMs: GRACE_MS, stdout: 'none', stderr: 'none' } as const
  const starts = Array.from({ length: 3 }, () => vm.start('sh', ['-c', HIDING], options))
  // each may be told that the session is lost, in the midst of its start as well
  const ends = Promise.allSettled(starts.map(async (start) => await (await start).exit))
  if (randomInt(2) === 0) await Promise.allSettled(starts)
  for (let turns = randomInt(300); turns > 0; turns--) await setImmediate()
  server.running.child.kill('SIGKILL')
  await server.running.ended
  await ends
  await eventually(() => marked(mark).length === 0, 'nothing of the trees lives', 10_000)
  await trunk.close().catch(() => undefined)
}
