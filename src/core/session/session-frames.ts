/** The frames of the session itself: how long each may be, and when it may come. */
import { FrameType } from '../frame/constants.ts'
import { MAX_STATUS_BYTES } from '../frame/status.ts'
import { violation } from '../mux/settings.ts'
import { PING_BYTES, PONG_BYTES } from './pings.ts'

/** Smallest and largest payload, and whether a session has to stand (undefined: either). */
const SESSION_FRAMES: Readonly<Record<number, [min: number, max: number, standing: boolean | undefined]>> = {
  [FrameType.HELLO]: [1, 65_535, false],
  [FrameType.READY]: [1, 256, false],
  [FrameType.CLOSING]: [0, 0, true],
  [FrameType.BYE]: [3, MAX_STATUS_BYTES, undefined],
  [FrameType.PING]: [PING_BYTES, PING_BYTES, true],
  [FrameType.PONG]: [PONG_BYTES, PONG_BYTES, true],
  [FrameType.PARSED]: [8, 8, true],
}

/**
 * Throws where a header of such a frame is not to be had; `standing` once the session is
 * established.
 */
export function checkSessionFrame(type: number, length: number, standing: boolean): void {
  const rule = SESSION_FRAMES[type]
  if (rule === undefined) throw violation(`there is no frame of type ${type}`)
  const [min, max, when] = rule
  if (length < min || length > max) throw violation(`a frame of type ${type} may not have ${length} bytes of payload`)
  if (when !== undefined && when !== standing) {
    throw violation(`a frame of type ${type} ${standing ? 'after' : 'before'} the session was established`)
  }
}

/**
 * What is said by BYE before the session is established with checked framing, where the next one to
 * listen may be another: what concerns whoever it is.
 */
export const CONCERNS_ANYBODY: ReadonlySet<string> = new Set([
  'ERR_LINE_NOT_RAW',
  'ERR_LINE_MISMATCH',
  'ERR_VERSION_MISMATCH',
  'ERR_HELLO_INVALID',
  'ERR_AUTH_REQUIRED',
  'ERR_AUTH_FAILED',
  'ERR_SESSION_LIMIT',
])
