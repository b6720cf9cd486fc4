/** What the demo prints: a table that grows row by row, and the same by hand. 100 columns. */
import type { Context } from '../context.ts'
import { formatDuration, formatRate } from '../format.ts'

/** One thing that was done; the rate is that of its bytes. */
export interface Step {
  readonly what: string
  readonly amount?: string
  readonly milliseconds?: number
  readonly bytes?: number
  readonly note?: string
}

function columns(what: string, amount: string, time: string, rate: string, note: string): string {
  return [what.padEnd(35), amount.padEnd(17), time.padStart(8), rate.padStart(10), note].join('  ').trimEnd()
}

/** What is shown before the first step. */
export async function printHead({ stdout, colors }: Context, guest: number | undefined, at: string): Promise<void> {
  await stdout.line(`
${colors.bold('trunkline demo')}  two processes, one TCP line on loopback, every pipe inside it

  guest  process ${guest}, serves its files and its web page at ${at}
  host   process ${process.pid}, connects with a shared token

${colors.dim(`    ${columns('what', 'how much', 'time', 'rate', '')}`)}`)
}

export async function printStep({ stdout, colors }: Context, step: Step): Promise<void> {
  const { what, amount = '', milliseconds, bytes, note = '' } = step
  const time = milliseconds === undefined ? '' : formatDuration(milliseconds)
  const rate = bytes === undefined || milliseconds === undefined ? '' : formatRate(bytes, milliseconds)
  await stdout.line(`  ${colors.green('✓')} ${columns(what, amount, time, rate, note)}`)
}

const BY_HAND = `guest $ trunkline serve tcp://127.0.0.1:7000 --fs /srv/share --connect 127.0.0.1:8000
host  $ export TRUNKLINE_TO=tcp://127.0.0.1:7000
host  $ trunkline ping
host  $ trunkline cp -r ./tree :/tree
host  $ trunkline cp -r :/tree ./copy
host  $ trunkline stat --sha256 :/tree/big.bin
host  $ trunkline forward -L 8080:127.0.0.1:8000   # then open http://127.0.0.1:8080/
host  $ trunkline cat :/tree/big.bin | less        # a slow reader; copy beside it`

export async function printByHand({ stdout, colors }: Context): Promise<void> {
  const shown = BY_HAND.split('\n').map((line) => `  ${colors.dim(line.slice(0, 7))} ${colors.cyan(line.slice(8))}\n`)
  await stdout.line(`\n${colors.bold('The same by hand, in two terminals')}\n${shown.join('')}`)
}
