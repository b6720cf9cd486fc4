/** Numbers and tables for a person's eyes. */

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `1536` as `1.5 KiB`: three digits at most, binary units. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= 999.5 && unit < BINARY_UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0
  return `${value.toFixed(digits)} ${BINARY_UNITS[unit] ?? 'B'}`
}

/** Bytes per second: `845 MiB/s`. */
export function formatRate(bytes: number, milliseconds: number): string {
  return `${formatBytes(milliseconds > 0 ? (bytes * 1000) / milliseconds : 0)}/s`
}

/** A time: `0.21 ms`, `340 ms`, `2.4 s`, `3 min 05 s`, `2 h 10 min`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 10) return `${milliseconds.toFixed(2)} ms`
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)} ms`
  const seconds = milliseconds / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  if (seconds < 59.5) return `${seconds.toFixed(0)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`
  const minutes = Math.round(whole / 60)
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** `-rw-r--r--` of a type and permission bits. */
export function formatMode(type: string, mode: number): string {
  const letters = 'rwxrwxrwx'
  let text = type === 'directory' ? 'd' : type === 'symlink' ? 'l' : type === 'file' ? '-' : '?'
  for (let bit = 0; bit < 9; bit += 1) text += (mode >> (8 - bit)) & 1 ? letters.charAt(bit) : '-'
  return text
}

/** Times outside of what a Date holds; a peer may send any number. */
const MAX_DATE_MS = 8.64e15

/** `2026-11-20 20:35:32` in UTC; `-` for what is no time. */
export function formatTime(milliseconds: number): string {
  if (!Number.isFinite(milliseconds) || Math.abs(milliseconds) > MAX_DATE_MS) return '-'
  return new Date(milliseconds)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '')
}

/**
 * Rows with their columns aligned; the columns in `right` are flushed right. The last column is not
 * padded.
 */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const width = widths[i] ?? 0
        if (right.includes(i)) return cell.padStart(width)
        return i === row.length - 1 ? cell : cell.padEnd(width)
      })
      .join('  '),
  )
}

const BARS = '▁▂▃▄▅▆▇█'

/** One character a value, from the lowest bar for 0 to the full one for the largest. */
export function sparkline(values: readonly number[]): string {
  const most = values.reduce((largest, value) => Math.max(largest, value), 0)
  const bar = (value: number): string =>
    BARS.charAt(most > 0 ? Math.round((Math.max(0, value) / most) * (BARS.length - 1)) : 0)
  return values.map(bar).join('')
}
