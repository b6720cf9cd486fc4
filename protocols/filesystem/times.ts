/**
 * The dates of files as milliseconds since 1970, before it as well. Promises that a date is kept to
 * what the file system and a double have room for (the nanosecond with the native addon, the
 * microsecond without it), is never taken for another one, and is clamped where the system has no
 * such date.
 */
import { fstatSync, futimesSync, statSync, utimesSync } from 'node:fs'
import { loadNative, type NativeTimes } from '../../src/native/load.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { MAX_DATE_MS } from './messages.ts'

/** What a file's dates become; what is left out stays. */
export interface Times {
  readonly modifiedMs?: number | undefined
  readonly accessedMs?: number | undefined
}

/** A date as the system has it: whole seconds since 1970, rounded down, and what is beyond them. */
interface SystemTime {
  readonly seconds: number
  readonly nanoseconds: number
}

const NS_PER_MS = 1_000_000
/** What every file system has that counts seconds at all. */
const SMALLEST_RANGE_MS = [-(2 ** 31) * 1000, (2 ** 31 - 1) * 1000] as const
/** Says that a date cannot be kept, or no date can. */
const CANNOT: ReadonlySet<string | undefined> = new Set([
  'EINVAL',
  'ERANGE',
  'EOVERFLOW',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
])

/** A date of a file as one that JavaScript and the protocol have: file systems go further. */
export function dateOf(milliseconds: number): number {
  return Math.min(MAX_DATE_MS, Math.max(-MAX_DATE_MS, milliseconds))
}

/**
 * Sets dates of an open file, or of what is at a path (links are followed). Throws the system's
 * error.
 */
export function setTimes(file: number | Buffer, times: Times, native: NativeTimes | undefined = loadNative()): void {
  if (times.modifiedMs === undefined && times.accessedMs === undefined) return
  if (native === undefined) setBySeconds(file, times)
  else {
    const [accessed, modified] = [systemTime(times.accessedMs), systemTime(times.modifiedMs)]
    native.setTimes(file, accessed?.seconds, accessed?.nanoseconds, modified?.seconds, modified?.nanoseconds)
  }
}

/**
 * As {@link setTimes}, for a copy: what cannot be kept is clamped, or left; no copy fails because
 * of a date.
 */
export function keepTimes(file: number | Buffer, times: Times, native: NativeTimes | undefined = loadNative()): void {
  try {
    setTimes(file, times, native)
  } catch (error) {
    if (!CANNOT.has(errnoOf(error))) throw error
    const [first, last] = SMALLEST_RANGE_MS
    const clamped = (date: number | undefined): number | undefined => date && Math.min(last, Math.max(first, date))
    try {
      setTimes(file, { modifiedMs: clamped(times.modifiedMs), accessedMs: clamped(times.accessedMs) }, native)
    } catch (again) {
      // A file system without dates: the copy is all there.
      if (!CANNOT.has(errnoOf(again))) throw again
    }
  }
}

/**
 * The digits that a double has, and not the ones that its binary fraction would have: 0.123 ms are
 * 123,000 ns.
 */
export function systemTime(milliseconds: number): SystemTime
export function systemTime(milliseconds: number | undefined): SystemTime | undefined
export function systemTime(milliseconds: number | undefined): SystemTime | undefined {
  if (milliseconds === undefined) return undefined
  const size = Math.abs(milliseconds)
  const whole = Math.trunc(size)
  const digits = /\.(\d+)$/.exec(String(size))?.[1] ?? ''
  const nanoseconds = (whole % 1000) * NS_PER_MS + Number(digits.slice(0, 6).padEnd(6, '0'))
  const seconds = Math.floor(whole / 1000)
  if (milliseconds >= 0) return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
}

/** By Node, which wants both dates. Text of a number: a number before 1970 would be now. */
function setBySeconds(file: number | Buffer, { modifiedMs, accessedMs }: Times): void {
  const before = modifiedMs === undefined || accessedMs === undefined ? statOf(file) : undefined
  const accessed = String(secondsOf(accessedMs ?? before?.atimeMs ?? 0))
  const modified = String(secondsOf(modifiedMs ?? before?.mtimeMs ?? 0))
  if (typeof file === 'number') futimesSync(file, accessed, modified)
  else utimesSync(file, accessed, modified)
}

function statOf(file: number | Buffer): { readonly atimeMs: number; readonly mtimeMs: number } {
  return typeof file === 'number' ? fstatSync(file) : statSync(file)
}

/**
 * Seconds that are still the same microsecond when Node has cut off what is finer: the nearest
 * double may lie a hair before it.
 */
function secondsOf(milliseconds: number): number {
  const size = Math.abs(milliseconds)
  const seconds = size / 1000
  const { nanoseconds } = systemTime(size)
  const cut = Math.trunc((seconds - Math.trunc(seconds)) * 1e6)
  const next = seconds + 2 ** (Math.floor(Math.log2(Math.max(seconds, 1))) - 52)
  return Math.sign(milliseconds) * (cut < Math.trunc(nanoseconds / 1000) ? next : seconds)
}
