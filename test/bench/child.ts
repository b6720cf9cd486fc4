/** The server's process in measurements with two of them: `child.js CONTENDER`. */
import { contenderOf } from './contenders/all.ts'
import { nearbyEnd, type Behaviour, type FarEnd } from './far-end.ts'
import { answerCalls } from './remote.ts'

const contender = await contenderOf(process.argv[2])
let end: FarEnd | undefined
let usage = process.cpuUsage()

function current(): FarEnd {
  if (end === undefined) throw new Error('nothing is served')
  return end
}

answerCalls({
  async serve(behaviour: Behaviour) {
    end = await nearbyEnd(contender, behaviour)
    return end.port
  },
  async take() {
    const books = await current().take()
    const { user, system } = process.cpuUsage(usage)
    usage = process.cpuUsage()
    return { ...books, cpuMicros: user + system }
  },
  memory: () => current().memory(),
  close: () => current().close(),
})
