/** `--wait`: for how long a command tries until its peer is there. */
import { InvalidArgumentError } from 'commander'

/** Longest wait that is counted: a day. */
export const MAX_WAIT_SECONDS = 86_400
const SECONDS = /^\d+(\.\d+)?$/
/** What `--wait` stands for without a number. */
const FOR_EVER = 'for-ever'

/** The option as it is parsed where no number follows it. */
export const BARE_WAIT: string = `--wait=${FOR_EVER}`

/** True where `text` is the number of `--wait`. */
export function isWaitSeconds(text = ''): boolean {
  return SECONDS.test(text)
}

/** Seconds; Infinity for ever. */
export function parseWait(text: string): number {
  if (text === FOR_EVER) return Infinity
  const seconds = Number(text)
  if (SECONDS.test(text) && seconds > 0 && seconds <= MAX_WAIT_SECONDS) return seconds
  throw new InvalidArgumentError(`It must be seconds, more than 0 and at most ${MAX_WAIT_SECONDS}.`)
}
