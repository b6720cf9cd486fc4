/**
 * What the demo prints: a table that grows row by row, and the commands to do the same by hand. At
 * most 100 columns.
 */
import { relative } from 'node:path'
import type { Context } from '../context.ts'
import { formatBytes, formatDuration, formatRate } from '../format.ts'
import type { Step } from './messages.ts'

const WHAT_WIDTH = 35
const AMOUNT_WIDTH = 17
const TIME_WIDTH = 8
const RATE_WIDTH = 10

/** `what`, `amount`, `time`, `rate` in their columns, then a note. */
function columns(what: string, amount: string, time: string, rate: string, note: string): string {
  const cells = [
    what.padEnd(WHAT_WIDTH),
    amount.padEnd(AMOUNT_WIDTH),
    time.padStart(TIME_WIDTH),
    rate.padStart(RATE_WIDTH),
    note,
  ]
  return cells.join('  ').trimEnd()
}

/** The demo's output. */
export class Report {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  async intro(): Promise<void> {
    const { bold, dim } = this.#context.colors
    await this.#print('')
    await this.#print(`${bold('trunkline demo')}  two processes, one TCP line on loopback, every pipe inside it`)
    await this.#print(dim('making a tree of random files …'))
  }

  async processes(guest: { pid: number; address: string }, host: { pid: number }): Promise<void> {
    const { dim } = this.#context.colors
    await this.#print('')
    await this.#print(`  guest  process ${guest.pid}, serves its files and its web page at ${guest.address}`)
    await this.#print(`  host   process ${host.pid}, connects with a shared token`)
    await this.#print('')
    await this.#print(dim(`    ${columns('what', 'how much', 'time', 'rate', '')}`))
  }

  async step({ what, amount, milliseconds, bytes, note = '' }: Step): Promise<void> {
    const time = milliseconds === undefined ? '' : formatDuration(milliseconds)
    const rate = bytes === undefined || milliseconds === undefined ? '' : formatRate(bytes, milliseconds)
    await this.#print(`  ${this.#context.colors.green('✓')} ${columns(what, amount, time, rate, note)}`)
  }

  async memory(guestBytes: number, hostBytes: number): Promise<void> {
    const note = `guest ${formatBytes(guestBytes)}, host ${formatBytes(hostBytes)}`
    await this.#print(`  ${this.#context.colors.green('✓')} ${columns('memory, at most', note, '', '', '')}`)
  }

  async byHand(program: string): Promise<void> {
    const { bold, cyan, dim } = this.#context.colors
    const guest = (command: string): string => `  ${dim('guest $')} ${cyan(command)}`
    const host = (command: string, remark = ''): string => `  ${dim('host  $')} ${cyan(command)}${dim(remark)}`
    const lines = [
      '',
      bold('The same by hand, in two terminals'),
      ...alias(program).map((text) => `  ${dim('both  $')} ${cyan(text)}`),
      guest('trunkline serve tcp://127.0.0.1:7000 --fs /srv/share --connect 127.0.0.1:8000'),
      host('export TRUNKLINE_TO=tcp://127.0.0.1:7000'),
      host('trunkline ping'),
      host('trunkline cp -r ./tree :/tree'),
      host('trunkline cp -r :/tree ./copy'),
      host('trunkline stat --sha256 :/tree/big.bin'),
      host('trunkline forward -L 8080:127.0.0.1:8000', '   then open http://127.0.0.1:8080/'),
      host('trunkline cat :/tree/big.bin | less', '          a slow reader; copy beside it'),
      '',
    ]
    for (const line of lines) await this.#print(line)
  }

  #print(line: string): Promise<void> {
    return this.#context.stdout.line(line)
  }
}

/** How to call the program from here; nothing where it is installed. */
function alias(program: string): string[] {
  const path = relative(process.cwd(), program)
  if (!path.endsWith('main.js') || program.includes('node_modules') || path.startsWith('..')) return []
  return [`alias trunkline='node ${path}'`]
}
