/** The rows of the table: what each measures, and what is asked of trunkline. */

/** A figure of a workload, as the table shows it. */
export interface Row {
  readonly title: string
  readonly workload: string
  readonly processes: 1 | 2
  readonly figure: string
  /** `ratio`: to the bare socket of the same round. */
  readonly shows: 'ratio' | 'value'
  readonly unit: string
  readonly better: 'more' | 'less'
  /** What the design asks for; where there is none the row only informs. */
  readonly target?: number
}

const RATE = { figure: 'rate', shows: 'ratio', unit: 'MiB/s', better: 'more' } as const
const PER_SECOND = { figure: 'rate', shows: 'ratio', unit: '/s', better: 'more' } as const
const TIME = { shows: 'ratio', unit: 'µs', better: 'less' } as const
const CPU = { figure: 'cpu', shows: 'value', unit: 's/GiB', better: 'less' } as const
const HANDED = { figure: 'handed', shows: 'value', unit: 'KiB', better: 'less' } as const
const GAINED = { figure: 'gained', shows: 'value', unit: 'KiB', better: 'less' } as const

/** A window as a pipe has it at first, and 128 KiB. */
const UNREAD_TARGET_KIB = 64 + 128

const rowsOf = (workload: string, processes: 1 | 2, rows: readonly Omit<Row, 'workload' | 'processes'>[]): Row[] =>
  rows.map((row) => ({ ...row, workload, processes }))

export const ROWS: readonly Row[] = [
  ...rowsOf('bulk-1', 1, [
    { title: 'bulk, 1 pipe, 64 KiB writes', ...RATE, target: 1.4 },
    { title: '· CPU', ...CPU },
  ]),
  ...rowsOf('bulk-1', 2, [
    { title: 'bulk, 1 pipe, two processes', ...RATE, target: 1.3 },
    { title: '· CPU of both', ...CPU },
  ]),
  ...rowsOf('bulk-100', 1, [
    { title: 'bulk, 100 pipes at once', ...RATE, target: 1.5 },
    { title: '· least share of a pipe', figure: 'least', shows: 'value', unit: '', better: 'more', target: 0.95 },
    { title: '· largest share of a pipe', figure: 'most', shows: 'value', unit: '', better: 'less', target: 1.05 },
  ]),
  ...rowsOf('bulk-100', 2, [
    { title: 'bulk, 100 pipes, two processes', ...RATE },
    { title: '· least share of a pipe', figure: 'least', shows: 'value', unit: '', better: 'more' },
    { title: '· largest share of a pipe', figure: 'most', shows: 'value', unit: '', better: 'less' },
  ]),
  ...rowsOf('small', 1, [{ title: '64-byte writes, 1 pipe', ...RATE, target: 14 }]),
  ...rowsOf('small', 2, [{ title: '64-byte writes, two processes', ...RATE }]),
  ...rowsOf('ping', 1, [
    { title: 'ping-pong of 64 bytes, median', figure: 'median', ...TIME, target: 1.12 },
    { title: 'ping-pong, 99th percentile', figure: 'p99', ...TIME },
  ]),
  ...rowsOf('ping', 2, [
    { title: 'ping-pong, two processes, median', figure: 'median', ...TIME },
    { title: 'ping-pong, two processes, 99th percentile', figure: 'p99', ...TIME },
  ]),
  ...rowsOf('beside', 2, [
    { title: 'ping-pong beside bulk, two proc., median', figure: 'median', ...TIME, target: 0.25 },
    { title: '· at a random moment, median (less is better)', figure: 'moment', ...TIME, target: 0.25 },
    { title: '· 99th percentile', figure: 'p99', shows: 'value', unit: 'µs', better: 'less', target: 500 },
    { title: 'the bulk beside ping-pong', ...RATE, target: 1.5 },
  ]),
  ...rowsOf('open-100', 1, [{ title: 'open, 1 byte, close; 100 at a time', ...PER_SECOND, target: 25 }]),
  ...rowsOf('open-100', 2, [{ title: '100 at a time, two processes', ...PER_SECOND }]),
  ...rowsOf('open-1', 1, [{ title: 'open, 1 byte, close; one at a time', ...PER_SECOND, target: 2.2 }]),
  ...rowsOf('open-1', 2, [{ title: 'one at a time, two processes', ...PER_SECOND }]),
  ...rowsOf('idle', 1, [
    {
      title: 'memory per idle pipe and side',
      figure: 'bytes',
      shows: 'value',
      unit: 'B',
      better: 'less',
      target: 1200,
    },
  ]),
  ...rowsOf('unread-large', 2, [
    { title: 'unread, 64 KiB writes: handed over', ...HANDED, target: UNREAD_TARGET_KIB },
    { title: '· gained by the receiver', ...GAINED },
  ]),
  ...rowsOf('unread-small', 2, [
    { title: 'unread, 1-byte writes: handed over', ...HANDED, target: UNREAD_TARGET_KIB },
    { title: '· gained by the receiver', ...GAINED },
  ]),
]
