/**
 * Every error that trunkline raises: one class, one table of codes. Match on `code`, never on the
 * message.
 *
 * Three sentences that every caller can rely on: a frame violation ends the session; a handler's
 * failure ends its pipe; a bad argument throws at once and changes nothing (where a promise is
 * returned, it rejects).
 */

/** What an error ends: the process's own call (`argument`), the link, the session, or one pipe. */
export type ErrorScope = 'argument' | 'link' | 'session' | 'pipe'

/**
 * The codes. docs/reference/errors.md has a row for each: when, who raises it, what is still
 * usable, what to do. `wire` is the number on the wire (docs/reference/wire-format.md, "Codes"), 0
 * where the code never travels; a number that was given once is never given again.
 */
export const ERROR_CODES = {
  // arguments: thrown before anything changed, never sent
  ERR_BAD_ARGUMENT: { wire: 0, scope: 'argument' },
  ERR_ADDRESS_INVALID: { wire: 0, scope: 'argument' },
  ERR_TRANSPORT_UNKNOWN: { wire: 0, scope: 'argument' },
  ERR_TRANSPORT_UNAVAILABLE: { wire: 0, scope: 'argument' },
  ERR_CONFIG_INVALID: { wire: 0, scope: 'argument' },
  ERR_NOT_CONFIGURED: { wire: 0, scope: 'argument' },

  // the link below the session
  ERR_LINK_LOST: { wire: 1, scope: 'link' },
  ERR_LINK_RESET: { wire: 2, scope: 'link' },
  ERR_LINK_FAILED: { wire: 3, scope: 'link' },
  ERR_FRAME_TRUNCATED: { wire: 4, scope: 'link' },

  // the session
  ERR_SESSION_CLOSED: { wire: 16, scope: 'session' },
  ERR_SESSION_ABORTED: { wire: 17, scope: 'session' },
  ERR_NOT_TRUNKLINE: { wire: 18, scope: 'session' },
  ERR_VERSION_MISMATCH: { wire: 19, scope: 'session' },
  ERR_HELLO_INVALID: { wire: 20, scope: 'session' },
  ERR_HELLO_TIMEOUT: { wire: 21, scope: 'session' },
  ERR_SELF_CONNECTION: { wire: 22, scope: 'session' },
  ERR_AUTH_REQUIRED: { wire: 23, scope: 'session' },
  ERR_AUTH_FAILED: { wire: 24, scope: 'session' },
  ERR_FRAME_TOO_LARGE: { wire: 25, scope: 'session' },
  ERR_PROTOCOL_VIOLATION: { wire: 26, scope: 'session' },
  ERR_WINDOW_EXCEEDED: { wire: 27, scope: 'session' },
  ERR_RESET_FLOOD: { wire: 28, scope: 'session' },
  ERR_REFUSAL_FLOOD: { wire: 29, scope: 'session' },
  ERR_KEEPALIVE_TIMEOUT: { wire: 30, scope: 'session' },
  ERR_WRITE_STALLED: { wire: 31, scope: 'session' },
  ERR_SESSION_LIMIT: { wire: 32, scope: 'session' },
  ERR_CLOSE_TIMEOUT: { wire: 33, scope: 'session' },
  ERR_PEER_RESTARTED: { wire: 34, scope: 'session' },
  ERR_LINE_DAMAGED: { wire: 35, scope: 'session' },
  ERR_LINE_NOT_RAW: { wire: 36, scope: 'session' },
  ERR_LINE_MISMATCH: { wire: 37, scope: 'session' },
  ERR_RESUME_UNKNOWN: { wire: 38, scope: 'session' },
  ERR_RESUME_REPLACED: { wire: 39, scope: 'session' },
  ERR_RESUME_MISMATCH: { wire: 40, scope: 'session' },
  ERR_RESUME_EXPIRED: { wire: 41, scope: 'session' },
  ERR_RESUME_LIMIT: { wire: 42, scope: 'session' },

  // one pipe
  ERR_PIPE_RESET: { wire: 64, scope: 'pipe' },
  ERR_PIPE_STOPPED: { wire: 65, scope: 'pipe' },
  ERR_PIPE_CLOSED: { wire: 66, scope: 'pipe' },
  ERR_PIPE_BUSY: { wire: 67, scope: 'pipe' },
  ERR_PIPE_LIMIT: { wire: 68, scope: 'pipe' },
  ERR_PIPE_BACKLOG: { wire: 69, scope: 'pipe' },
  ERR_PIPE_IDS_EXHAUSTED: { wire: 70, scope: 'pipe' },
  ERR_PIPE_ORPHANED: { wire: 71, scope: 'pipe' },
  ERR_ABORTED: { wire: 72, scope: 'pipe' },
  ERR_PROTOCOL_UNKNOWN: { wire: 73, scope: 'pipe' },
  ERR_PROTOCOL_VERSION: { wire: 74, scope: 'pipe' },
  ERR_PARAMS_INVALID: { wire: 75, scope: 'pipe' },
  ERR_HANDLER_FAILED: { wire: 76, scope: 'pipe' },
  ERR_MESSAGE_INVALID: { wire: 77, scope: 'pipe' },
  ERR_DENIED: { wire: 78, scope: 'pipe' },
  ERR_UNSUPPORTED: { wire: 79, scope: 'pipe' },
  ERR_PIPE_STALLED: { wire: 80, scope: 'pipe' },

  // connecting and listening, by a transport or by a tcp protocol
  ERR_CONNECT_REFUSED: { wire: 128, scope: 'pipe' },
  ERR_CONNECT_UNREACHABLE: { wire: 129, scope: 'pipe' },
  ERR_CONNECT_TIMEOUT: { wire: 130, scope: 'pipe' },
  ERR_NAME_NOT_FOUND: { wire: 131, scope: 'pipe' },
  ERR_CONNECTION_RESET: { wire: 132, scope: 'pipe' },
  ERR_CONNECTION_LIMIT: { wire: 133, scope: 'pipe' },
  ERR_ADDRESS_IN_USE: { wire: 134, scope: 'pipe' },
  ERR_ADDRESS_UNAVAILABLE: { wire: 135, scope: 'pipe' },
  ERR_BIND_DENIED: { wire: 136, scope: 'pipe' },
  ERR_LISTENER_UNKNOWN: { wire: 137, scope: 'pipe' },
  ERR_LISTENER_LIMIT: { wire: 138, scope: 'pipe' },

  // files
  ERR_NOT_FOUND: { wire: 192, scope: 'pipe' },
  ERR_EXISTS: { wire: 193, scope: 'pipe' },
  ERR_NOT_DIRECTORY: { wire: 194, scope: 'pipe' },
  ERR_IS_DIRECTORY: { wire: 195, scope: 'pipe' },
  ERR_NOT_EMPTY: { wire: 196, scope: 'pipe' },
  ERR_ACCESS: { wire: 197, scope: 'pipe' },
  ERR_READ_ONLY: { wire: 198, scope: 'pipe' },
  ERR_NO_SPACE: { wire: 199, scope: 'pipe' },
  ERR_QUOTA: { wire: 200, scope: 'pipe' },
  ERR_IO: { wire: 201, scope: 'pipe' },
  ERR_PATH_INVALID: { wire: 202, scope: 'pipe' },
  ERR_SYMLINK: { wire: 203, scope: 'pipe' },
  ERR_NOT_REGULAR: { wire: 204, scope: 'pipe' },
  ERR_HANDLE_LIMIT: { wire: 205, scope: 'pipe' },
  ERR_FILE_CHANGED: { wire: 206, scope: 'pipe' },
  ERR_FILE_TOO_LARGE: { wire: 207, scope: 'pipe' },
  ERR_NAME_INVALID: { wire: 208, scope: 'pipe' },
  ERR_CROSS_DEVICE: { wire: 209, scope: 'pipe' },
  ERR_BUSY: { wire: 210, scope: 'pipe' },

  // commands
  ERR_COMMAND_NOT_FOUND: { wire: 211, scope: 'pipe' },
  ERR_NOT_EXECUTABLE: { wire: 212, scope: 'pipe' },
  ERR_DIRECTORY_UNUSABLE: { wire: 213, scope: 'pipe' },
  ERR_USER_UNKNOWN: { wire: 214, scope: 'pipe' },
  ERR_ARGUMENTS_TOO_LARGE: { wire: 215, scope: 'pipe' },
  ERR_PROCESS_LIMIT: { wire: 216, scope: 'pipe' },
  ERR_TERMINAL_UNAVAILABLE: { wire: 217, scope: 'pipe' },
  ERR_COMMAND_UNKNOWN: { wire: 218, scope: 'pipe' },
  ERR_COMMAND_EXISTS: { wire: 219, scope: 'pipe' },
  ERR_STDIN_CLOSED: { wire: 220, scope: 'pipe' },
  ERR_COMMAND_ATTACHED: { wire: 221, scope: 'pipe' },
  ERR_OUTPUT_LIMIT: { wire: 222, scope: 'pipe' },
  ERR_COMMAND_TIMEOUT: { wire: 223, scope: 'pipe' },
  ERR_COMMAND_FAILED: { wire: 0, scope: 'pipe' },
} as const

/** A code of trunkline's own table. */
export type KnownCode = keyof typeof ERROR_CODES

/** A code: trunkline's own, or a plugin's (capital letters, digits and `_`, 3 to 64 characters). */
export type ErrorCode = KnownCode | (string & {})

/** Which codes may travel: a plugin's code is sent by name. */
const CODE_SHAPE = /^[A-Z][A-Z0-9_]{2,63}$/

const codeByWire = new Map<number, KnownCode>()
for (const [code, entry] of Object.entries(ERROR_CODES)) {
  if (entry.wire !== 0) codeByWire.set(entry.wire, code as KnownCode)
}

/** True for a code of trunkline's own table. */
export function isKnownCode(code: string): code is KnownCode {
  return Object.hasOwn(ERROR_CODES, code)
}

/**
 * A sentence without control characters (C0, DEL, C1, separators of lines, what turns the direction
 * of writing): what a peer says ends up on somebody's terminal.
 */
export function withoutControls(sentence: string): string {
  return sentence.replace(/[\p{Cc}\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]/gu, ' ')
}

/** True where `code` has the shape of a code, known or not. */
export function isCodeShaped(code: string): boolean {
  return CODE_SHAPE.test(code)
}

/** The code that travels as `wire`; undefined for a number this version does not know. */
export function codeFromWire(wire: number): KnownCode | undefined {
  return codeByWire.get(wire)
}

/** What a {@link TrunkError} is made of besides its code and sentence. */
export interface TrunkErrorOptions extends ErrorOptions {
  /** `remote` where the peer sent it. @default 'local' */
  origin?: 'local' | 'remote'
  /**
   * What it ends. @default the scope of the code in {@link ERROR_CODES}; `pipe` for a plugin's code
   */
  scope?: ErrorScope
}

/**
 * The one error class: `code` says what happened, `scope` what it ended, `origin` who said so,
 * `cause` why.
 */
export class TrunkError extends Error {
  override readonly name = 'TrunkError'
  /** What happened: the one member to match on. A code of {@link ERROR_CODES}, or of a plugin. */
  readonly code: ErrorCode
  /** What the error has ended. */
  readonly scope: ErrorScope
  /** Whether this side raised it, or the peer sent it. */
  readonly origin: 'local' | 'remote'

  constructor(code: ErrorCode, message: string, options: TrunkErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.scope = options.scope ?? (isKnownCode(code) ? ERROR_CODES[code].scope : 'pipe')
    this.origin = options.origin ?? 'local'
  }
}

/** A bad argument: names the value, and nothing has changed. */
export function badArgument(message: string): TrunkError {
  return new TrunkError('ERR_BAD_ARGUMENT', message)
}

/**
 * Any thrown thing as a {@link TrunkError}: itself if it is one, else wrapped under `code` with the
 * original as `cause`. The message of a foreign error is kept out: it may carry local paths or
 * secrets, and this one may travel.
 */
export function toTrunkError(thrown: unknown, code: ErrorCode, message: string): TrunkError {
  return thrown instanceof TrunkError ? thrown : new TrunkError(code, message, { cause: thrown })
}

/**
 * The reason of an aborted signal as a {@link TrunkError}: the reason itself if it is one, else its
 * `cause`.
 */
export function abortError(signal: AbortSignal): TrunkError {
  return toTrunkError(signal.reason, 'ERR_ABORTED', 'the operation was aborted')
}
