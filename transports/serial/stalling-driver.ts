/**
 * The driver of user-mode Linux's serial lines: once the terminal's buffer of 4,096 bytes has been
 * full it takes nothing from its line any more, for good (it gives up its interrupt when it is
 * throttled and does not ask for it again). The machine tells which drivers its terminals have, so
 * that the peer can be told to have less under way than that buffer holds.
 */
import { readFileSync } from 'node:fs'

/** Linux's list of the drivers of terminals, by their names. */
const DRIVERS = '/proc/tty/drivers'
const STALLS = /^UML (?:serial line|console)\b/m

/**
 * What fits the terminal's buffer with room for answers, opens and pings, which do not count as
 * data.
 */
const FITS_BYTES = 3072

/**
 * Bytes of data that may be under way to a terminal of this machine; undefined where its driver
 * holds its line back and takes it up again.
 */
export function stallingBytes(drivers: string | undefined = driversHere()): number | undefined {
  return drivers !== undefined && STALLS.test(drivers) ? FITS_BYTES : undefined
}

function driversHere(): string | undefined {
  try {
    return readFileSync(DRIVERS, 'utf8')
  } catch {
    return undefined // not Linux, or nobody may look: then it is no guest of this kind
  }
}
