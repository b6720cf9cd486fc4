/**
 * One contender's process: `actor.js CONTENDER`. It is the client of every measurement, and the
 * server too where both are in one process. Each contender has its own, so that none runs in the
 * other's heap or with code that was compiled for the other's streams.
 */
import { contenderOf } from './contenders/all.ts'
import { isBareSocket } from './results.ts'
import { distantEnd, nearbyEnd } from './far-end.ts'
import { answerCalls, startRemote, type Remote } from './remote.ts'
import { WORKLOADS, type Figures } from './workloads.ts'

/** What to measure, for how long. */
export interface Task {
  readonly workload: string
  readonly processes: 1 | 2
  readonly seconds: number
}

/** Share of the time that warms up the session before what is measured. */
const WARM_UP = 0.3
/**
 * For whatever this process has not run before: the compiler has to be through with it, or the
 * first rounds measure that.
 */
const firstWarmUp = (seconds: number): number => Math.min(0.4, 2 * seconds)
/** What has been run here, by workload and number of processes. */
const warm = new Set<string>()

const contender = await contenderOf(process.argv[2])
const isBare = isBareSocket(contender.name)
let child: Remote | undefined

async function measure({ workload: name, processes, seconds }: Task): Promise<Figures> {
  const workload = WORKLOADS.find(({ id }) => id === name)
  if (workload === undefined) throw new Error(`no workload ${name}`)
  if (processes === 2 && child?.alive !== true) child = startRemote('child.js', [contender.name], process.env)
  const behaviour = workload.behaviour ?? 'answer'
  const far =
    processes === 2 && child !== undefined ? await distantEnd(child, behaviour) : await nearbyEnd(contender, behaviour)
  const session = await contender.dial(far.port)
  const run = isBare ? (workload.runBare ?? workload.run) : workload.run
  try {
    if (workload.warms !== false) {
      const key = `${name}/${processes}`
      await run({ session, far }, Math.max(seconds * WARM_UP, warm.has(key) ? 0 : firstWarmUp(seconds)))
      warm.add(key)
    }
    return await run({ session, far }, seconds)
  } finally {
    await session.close()
    await far.close()
  }
}

answerCalls({ measure, name: () => contender.name })
