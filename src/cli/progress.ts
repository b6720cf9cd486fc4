/**
 * The progress of a copy, drawn on stderr where that is a terminal: how much, how fast, how long
 * still. Elsewhere, and where the copied bytes themselves go to the terminal, nothing is drawn.
 */
import cliProgress from 'cli-progress'
import type { Options, Params } from 'cli-progress'
import type { Clock } from '../index.ts'
import { printable } from '../runtime/printable.ts'
import type { Context } from './context.ts'
import { formatBytes, formatDuration, formatRate } from './format.ts'

/** What a copy tells while it runs. */
export interface Progress {
  /** True where somebody looks, and it's worth finding out how much there is in all. */
  readonly visible: boolean
  /** `bytes` more are known to have to be copied. */
  expect(bytes: number): void
  /** The sum of what is expected is now complete, so that a time can be told. */
  complete(): void
  /** `bytes` more have been copied. */
  add(bytes: number): void
  /** Prints something, keeping the bar out of its way. */
  interrupt(print: () => void): void
  /** Leaves the bar as it is at the end. */
  stop(): void
}

/** Columns of the name before the bar. */
const LABEL_WIDTH = 18
/**
 * Columns of everything but the bar, at most; the bar takes what the terminal has left, within
 * bounds.
 */
const TEXT_WIDTH = 67
const BAR_WIDTHS = [8, 30] as const
/** The rate is that of about the last this many milliseconds. */
const RATE_WINDOW_MS = 3000
const DRAWS_PER_SECOND = 8
/** Resolution of the bar itself; the numbers are ours. */
const STEPS = 1000

/** Draws nothing. */
export const SILENT: Progress = {
  visible: false,
  expect: () => undefined,
  complete: () => undefined,
  add: () => undefined,
  interrupt: (print) => print(),
  stop: () => undefined,
}

/** Rate over a sliding window, from samples that are at least a tenth of it apart. */
class Rate {
  readonly #clock: Clock
  readonly #samples: { readonly at: number; readonly bytes: number }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
    this.#samples.push({ at: clock.now(), bytes: 0 })
  }

  /** Bytes per second at `bytes` in all. */
  measure(bytes: number): number {
    const now = this.#clock.now()
    const newest = this.#samples.at(-1)
    if (newest === undefined || now - newest.at >= RATE_WINDOW_MS / 10) this.#samples.push({ at: now, bytes })
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at ?? now) > RATE_WINDOW_MS) this.#samples.shift()
    const oldest = this.#samples[0]
    return oldest === undefined || now <= oldest.at ? 0 : ((bytes - oldest.bytes) * 1000) / (now - oldest.at)
  }
}

/** Starts the progress of copying `label`. `drawn` false: never draw, whatever stderr is. */
export function startProgress(context: Context, label: string, drawn: boolean): Progress {
  if (!drawn || context.stderr.isTTY !== true || context.env['TERM'] === 'dumb') return SILENT
  const { clock, stderr } = context
  const start = clock.now()
  const rate = new Rate(clock)
  let expected = 0
  let copied = 0
  let known = false
  let stopped = false
  const shown = shorten(printable(label))
  const line = (options: Options, params: Params): string => {
    if (stopped) return finalLine(shown, copied, clock.now() - start)
    const perSecond = rate.measure(copied)
    if (!known) return `${shown}  ${formatBytes(copied).padStart(8)}  ${formatRate(perSecond, 1000)}`
    const left = perSecond > 0 ? formatTimeLeft((expected - copied) / perSecond) : '-'
    const percent = `${String(Math.floor(params.progress * 100)).padStart(3)} %`
    const amount = formatBytes(copied).padStart(8)
    const bar = cliProgress.Format.BarFormat(params.progress, options)
    return `${shown}  ${bar} ${percent}  ${amount}  ${formatRate(perSecond, 1000)}  ${left} left`
  }
  const bar = new cliProgress.SingleBar({
    format: line,
    // of a stream it uses `write`, and what else is there
    stream: stderr as unknown as NodeJS.WritableStream,
    fps: DRAWS_PER_SECOND,
    barsize: Math.min(Math.max((stderr.columns ?? 80) - TEXT_WIDTH, BAR_WIDTHS[0]), BAR_WIDTHS[1]),
    barCompleteChar: '\u2588',
    barIncompleteChar: '\u2591',
    hideCursor: null,
    linewrap: true,
    forceRedraw: true,
    gracefulExit: false,
  })
  bar.start(STEPS, 0)
  const update = (): void =>
    bar.update(expected > 0 && known ? Math.min(STEPS, Math.floor((copied / expected) * STEPS)) : 0)
  return {
    visible: true,
    expect(bytes) {
      expected += bytes
    },
    complete() {
      known = true
    },
    add(bytes) {
      copied += bytes
      update()
    },
    interrupt(print) {
      stderr.write('\r\u001B[K')
      print()
      // The bar puts the cursor back to where it was saved when it began; it is a line further down
      // now.
      stderr.write('\u001B7')
    },
    stop() {
      stopped = true
      bar.stop()
    },
  }
}

/** In whole seconds: digits that change with each drawing tell nothing. */
function formatTimeLeft(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds))
  return whole < 60 ? `${whole} s` : formatDuration(whole * 1000)
}

function finalLine(label: string, bytes: number, milliseconds: number): string {
  return `${label}  ${formatBytes(bytes)} in ${formatDuration(milliseconds)}  ${formatRate(bytes, milliseconds)}`
}

function shorten(label: string): string {
  const text = label.length > LABEL_WIDTH ? `\u2026${label.slice(1 - LABEL_WIDTH)}` : label
  return text.padEnd(LABEL_WIDTH)
}
