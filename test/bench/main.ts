/** The benchmark's command line: `npm run bench -- [--quick] [--rounds N] [--only TEXT] [--contender NAME]`. */
import { parseArgs } from 'node:util'
import { behave, type Contender } from './contender.ts'
import { contenders } from './contenders/all.ts'
import { bare } from './contenders/bare.ts'
import { median, WORKLOADS, type Workload } from './workloads.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    contender: { type: 'string', multiple: true },
  },
})
const rounds = Number(values.rounds ?? (values.quick ? 3 : 5))
const scale = values.quick ? 0.25 : 1

async function measure(contender: Contender, workload: Workload): Promise<number> {
  const server = await contender.serve((stream) => {
    behave(stream, workload.behaviour)
  })
  const session = await contender.dial(server.port)
  const run = contender === bare ? (workload.runBare ?? workload.run) : workload.run
  try {
    return await run(session, scale)
  } finally {
    await session.close()
    await server.close()
  }
}

const all = (await contenders()).filter(
  ({ name }) =>
    name === bare.name || values.contender === undefined || values.contender.some((part) => name.includes(part)),
)
const TIMEOUT_MS = 60_000

for (const workload of WORKLOADS.filter(({ name }) => values.only === undefined || name.includes(values.only))) {
  console.log(`\n${workload.name}`)
  const results = new Map<Contender, number[]>(all.map((contender) => [contender, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [contender, list] of results) {
      try {
        const value = await within(TIMEOUT_MS, measure(contender, workload))
        if (round > 0) list.push(value) // the first warms up
      } catch (error) {
        console.log(`  ${contender.name}: ${String(error)}`)
        results.delete(contender)
      }
    }
  }
  const limit = results.get(bare) ?? []
  for (const [contender, list] of results) {
    const ratios = list.map((value, index) => value / (limit[index] ?? Number.NaN))
    console.log(
      `  ${contender.name.padEnd(30)} ${median(list).toFixed(1).padStart(10)} ${workload.unit.padEnd(6)} ratio ${median(ratios).toFixed(2).padStart(6)}  (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
    )
  }
}
process.exit(0)

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no result within ${ms} ms`)), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
