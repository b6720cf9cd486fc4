/**
 * Chaos for as long as one likes: `npm run soak -- --minutes 30 [--seed N]`. Ends with status 1
 * when something was wrong: a clean end with wrong or missing bytes, an unhandled rejection, a
 * warning, a job that hangs, a process that ends when it should not or does not when it should,
 * memory, descriptors or handles that grow.
 */
import { parseArgs } from 'node:util'
import { mib, soak } from './soak.ts'

/** ten minutes of chaos leave less than this. */
const HEAP_BYTES = 2 ** 20
const LONG_MINUTES = 10
/**
 * In a shorter run most of what grows is code that is being compiled for the first time: 0.4 MiB a
 * minute were seen in runs of three.
 */
const SHORT_HEAP_BYTES = 3 * 2 ** 20

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '3' }, seed: { type: 'string' } },
})
const minutes = Number(values.minutes)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run soak -- [--minutes NUMBER] [--seed INTEGER]')
  process.exit(2)
}
console.log(`seed ${seed}; replay: npm run soak -- --minutes ${minutes} --seed ${seed}`)
const { counts, steady, faults } = await soak({
  minutes,
  seed,
  heapBytes: minutes < LONG_MINUTES ? SHORT_HEAP_BYTES : HEAP_BYTES,
  log: (line) => console.log(line),
})

console.log('\nwhat was done')
for (const [name, number] of [...counts].sort(([a], [b]) => a.localeCompare(b))) console.log(`  ${number} ${name}`)
console.log('\nR-135: slopes per minute, garbage collected, after the warm-up')
for (const report of steady) {
  console.log(
    `  ${report.name}, ${report.samples} samples: heap ${mib(report.heapSlope)}, buffers ${mib(report.bufferSlope)}, rss ${mib(report.rssSlope)}, ` +
      `descriptors ${report.descriptorSlope.toFixed(3)} (${report.first.descriptors} to ${report.last.descriptors}), ` +
      `handles ${report.handleSlope.toFixed(3)} (${report.first.handles} to ${report.last.handles})`,
  )
}
console.log(faults.length === 0 ? '\npassed' : `\nFAILED\n  ${faults.join('\n  ')}`)
process.exitCode = faults.length === 0 ? 0 : 1
