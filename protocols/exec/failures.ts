/**
 * What a failed launch is to whoever asked for it: a code and a sentence that names the stage,
 * never a path of this machine.
 */
import { TrunkError, type KnownCode } from '../../src/contracts/errors.ts'
import type { Stage } from './launch.ts'

/** There is no room for one more process, descriptor or page, whatever the stage was. */
const NO_ROOM: ReadonlySet<string> = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE'])

const OF_STAGE: Readonly<Record<Stage, readonly [code: KnownCode, sentence: string]>> = {
  limits: ['ERR_PROCESS_LIMIT', 'the limits that were asked for cannot be set'],
  user: ['ERR_DENIED', 'the server has not the right to become that user'],
  directory: ['ERR_DIRECTORY_UNUSABLE', 'the working directory cannot be entered'],
  terminal: ['ERR_TERMINAL_UNAVAILABLE', 'no terminal could be made'],
  search: ['ERR_COMMAND_NOT_FOUND', 'there is no such program'],
  execute: ['ERR_NOT_EXECUTABLE', 'the program cannot be executed'],
}

/** Why `execve` did not, in words. */
const WHY: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOEXEC: 'it is no program of this machine, and names no interpreter',
  ENOENT: 'its interpreter is missing',
  ENOTDIR: 'its interpreter is missing',
  ELOOP: 'too many symbolic links',
  ETXTBSY: 'somebody is writing to it',
  ELIBBAD: 'its interpreter is none',
  ENOTSUP: 'it is no program of this machine',
}

/** The error of a launch that failed at `stage` with the system's error `errno` (`ENOENT`). */
export function launchFailure(stage: Stage, errno: string, cause?: unknown): TrunkError {
  const options = cause === undefined ? {} : { cause }
  if (NO_ROOM.has(errno))
    return new TrunkError('ERR_PROCESS_LIMIT', `${stage}: the system has no room for it (${errno})`, options)
  if (errno === 'E2BIG')
    return new TrunkError('ERR_ARGUMENTS_TOO_LARGE', `${stage}: the system takes no arguments that long`, options)
  const [code, sentence] = OF_STAGE[stage]
  const why = stage === 'execute' ? (WHY[errno] ?? errno) : errno
  return new TrunkError(code, `${stage}: ${sentence}${why === '' ? '' : `: ${why}`}`, options)
}
