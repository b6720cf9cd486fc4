/**
 * Lets the program (../program.mjs) measure one line, and checks what only both sides together can
 * tell. The bare line is measured before and after trunkline: a machine that is slower for a while
 * is slower for both.
 */
import assert from 'node:assert/strict'
import { run } from './job.ts'
import type { Line } from './rounds.ts'
import { Side, type Said, type Task } from './side.ts'

/** Seconds of each time that bytes went to the serving side, and from it. */
export interface Ways {
  readonly up: readonly number[]
  readonly down: readonly number[]
}

/** What one line does. */
export interface Measured {
  /** How long sessions took to start. */
  readonly startMs: readonly number[]
  /** Bytes of each copy of a file. */
  readonly bytes: number
  readonly copies: Ways
  /** Bytes of each stream. */
  readonly streamed: number
  /** Over a pipe. */
  readonly pipe: Ways
  /** Over a link of the same transport, without a session. */
  readonly bare: Ways
}

/** A file as the program copied it. */
interface Copy {
  readonly seconds: number
  readonly digest: string
}

/** Longest time for everything that one task measures. */
const MEASURE_MS = 300_000

/** Measures the line. */
export async function measure(line: Line): Promise<Measured> {
  const before = await measureBare(line)
  const trunkline = await measureTrunkline(line)
  const after = await measureBare(line)
  const bare = { up: [...before.up, ...after.up], down: [...before.down, ...after.down] }
  return { ...trunkline, bytes: line.bytes, streamed: line.streamed, bare }
}

async function measureBare(line: Line): Promise<Ways> {
  return await withServer(line, 'answer', async () => {
    const { streams } = await drive(line, 'bare', 'poured')
    return streams as Ways
  })
}

async function measureTrunkline(line: Line): Promise<Pick<Measured, 'startMs' | 'copies' | 'pipe'>> {
  return await withServer(line, 'serve', async (serving) => {
    const measured = await drive(line, 'measure', 'measured')
    const [up, down] = [measured['up'] as Copy[], measured['down'] as Copy[]]
    const { machine, folder } = line.server
    for (const copy of down) assert.equal(copy.digest, serving['digest'], 'a file arrived as another one')
    for (const [index, copy] of up.entries()) {
      const [sum] = (await run(machine, `sha256sum ${folder}/up-${index}`)).split(' ')
      assert.equal(sum, copy.digest, 'a file arrived as another one')
    }
    const secondsOf = (copies: Copy[]) => copies.map(({ seconds }) => seconds)
    const copies = { up: secondsOf(up), down: secondsOf(down) }
    return { startMs: measured['startMs'] as number[], copies, pipe: measured['streams'] as Ways }
  })
}

/** Uses a serving side that is ready, and ends it. */
async function withServer<T>(
  { server, bytes }: Line,
  task: 'serve' | 'answer',
  use: (ready: Said) => Promise<T>,
): Promise<T> {
  const serving = new Side(server, task, bytes)
  let used: T
  try {
    used = await use(await serving.next(task === 'serve' ? 'serving' : 'answering'))
  } catch (error) {
    const { story } = serving
    // where it does not end either, what came first is what matters
    await serving.kill().catch((second: unknown) => console.error(second))
    throw new Error(story, { cause: error })
  }
  await serving.kill()
  return used
}

/** What the driving side says at its end. */
async function drive({ driver, bytes, streamed }: Line, task: Task, event: string): Promise<Said> {
  const driving = new Side(driver, task, bytes, streamed)
  try {
    const said = await driving.next(event, MEASURE_MS)
    await driving.ended()
    return said
  } catch (error) {
    await driving.kill()
    throw error
  }
}
