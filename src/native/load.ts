/**
 * The native addon, loaded when it is first asked for and never by importing this file. It is
 * optional: where it was not built, or the environment variable TRUNKLINE_NO_ADDON is set,
 * `loadNative` gives undefined and the caller takes its weaker way or says what is missing.
 *
 * addon-file.ts says where it is.
 */
import { findAddon, type AddonFile } from './addon-file.ts'

/**
 * A socket address as the addon takes and gives it; `address` is a literal, never a name: for vsock
 * the CID in digits.
 */
export interface NativeAddress {
  /** That of a unix socket says no more: `address` is empty and `port` 0. */
  readonly family: 'ipv4' | 'ipv6' | 'vsock' | 'unix'
  readonly address: string
  readonly port: number
}

/**
 * A unix socket's: a path of at most 107 bytes, or, behind a zero byte, an abstract name of as
 * many.
 */
export interface NativeLocalAddress {
  readonly family: 'unix'
  readonly path: Uint8Array
}

/** A connection that was accepted. Its descriptor belongs to the caller. */
export interface NativeAccepted {
  readonly fd: number
  readonly remote: NativeAddress
  readonly local: NativeAddress
}

/**
 * What a descriptor is watched for, or ready for; a hang-up makes it ready for both. The two are
 * added up. An addon that says otherwise is not used.
 */
export const READABLE = 1
export const WRITABLE = 2

/**
 * Tells when a descriptor is ready, again and again until that was dealt with. Made stopped; it
 * keeps the process alive while it runs, unless `unref` was called.
 */
export interface NativeWatch {
  /** Replaces what was watched for. @default READABLE */
  start(events?: number): void
  stop(): void
  /** Keeps the process alive no longer. */
  unref(): void
  /** Ends it for good; the descriptor may be closed at once afterwards. */
  close(): void
}

/**
 * Descriptors that Node's public API does not make, name or watch. Each function throws an error
 * with `code`, `errno` and `syscall`, as Node's own do.
 */
export interface NativeDescriptors {
  /**
   * Makes a listening socket (close-on-exec, non-blocking, IPv6 only for IPv6) and gives its
   * descriptor.
   */
  listen(address: NativeAddress | NativeLocalAddress, backlog: number): number
  localAddress(fd: number): NativeAddress
  /** Accepts one waiting connection; undefined when none waits. */
  accept(fd: number): NativeAccepted | undefined
  close(fd: number): void
  /**
   * The name of the error that the kernel has yet to tell (`ECONNRESET`); undefined when there is
   * none. Asking takes it.
   */
  socketError(fd: number): string | undefined
  /**
   * `callback` gets the name of an error (`EBADF`) when the watching has failed, else what the
   * descriptor is ready for.
   */
  watch(fd: number, callback: (error?: string, events?: number) => void): NativeWatch
}

/**
 * The bytes of character devices, which Node's sockets refuse. The descriptor is open without
 * blocking.
 */
export interface NativeDevices {
  /**
   * Reads what is there, up to the room: 0 where the device says that nobody is at its other end,
   * undefined where nothing has arrived.
   */
  read(fd: number, into: Uint8Array): number | undefined
  /**
   * Writes what the device takes now of `chunks`, in order; gives how many bytes that were, 0 where
   * it takes none.
   */
  write(fd: number, chunks: readonly Uint8Array[]): number
  /** A terminal's last close no longer lowers its modem lines. */
  keepLines(fd: number): void
}

/**
 * What lets `net.Socket` carry a descriptor that its constructor refuses; transports/vsock/adopt.ts
 * says how.
 */
export interface NativeSwap {
  /** A descriptor that `net.Socket` takes and that leads nowhere. */
  placeholder(): number
  /**
   * From here on `number` stands for what `fd` stood for, and `fd` is closed; where it throws, both
   * are what they were.
   */
  replace(number: number, fd: number): void
}

/**
 * What dialling by descriptor needs: AF_VSOCK, which Node does not dial, and sockets that a {@link
 * NativePoller} carries.
 */
export interface NativeVsock {
  /**
   * Begins to connect and gives the descriptor: writable when the outcome is known, which
   * `socketError` then tells. `timeoutMs` is how long the kernel may go on trying for vsock; it has
   * no effect on other families. A unix socket is connected at once, or throws: `EAGAIN` where the
   * listener's backlog is full.
   */
  connect(address: NativeAddress | NativeLocalAddress, timeoutMs: number): number
  /** This machine's context id, 2 on a host. Throws ENOENT where the kernel has no vsock. */
  localCid(): number
  /**
   * The name of the error that writing would meet (`EPIPE`), found by writing nothing; undefined
   * where there is none.
   */
  writeError(fd: number): string | undefined
}

/** Files that were made without a name (O_TMPFILE). */
export interface NativeNaming {
  /**
   * Gives the open file the name `path`. Throws EEXIST where somebody has it: nothing is ever
   * replaced.
   */
  name(fd: number, path: Uint8Array): void
}

/** Dates of files, which Node takes as a double of seconds. */
export interface NativeTimes {
  /**
   * Sets them, of an open file or of what is at a path, as whole seconds since 1970 and nanoseconds
   * beyond; undefined stays.
   */
  setTimes(
    file: number | Uint8Array,
    accessedSeconds?: number,
    accessedNanoseconds?: number,
    modifiedSeconds?: number,
    modifiedNanoseconds?: number,
  ): void
}

/** The addon's own numbers. */
export interface NativeConstants {
  /** See the constants of the same names. */
  readonly READABLE: number
  readonly WRITABLE: number
  /**
   * What happened to a socket, as {@link NativePoller.read} tells it: bytes were read, it is
   * writable, it has failed. Added up.
   */
  readonly WAS_READ: number
  readonly WAS_WRITABLE: number
  readonly HAS_FAILED: number
  /** Numbers of one record of {@link NativePoller.read}. */
  readonly RECORD_FIELDS: number
  /** Most that one `read` takes from one socket, and the room that it needs for each. */
  readonly POLLER_READ_BYTES: number
}

/**
 * Reads from many sockets by one call. A socket that was put in is its own, until `drop`; a thread
 * that ends closes what is left.
 */
export interface NativePoller {
  /** To be watched: readable while `read` has something to tell. */
  readonly fd: number
  /**
   * Puts a socket in, by the name of `id` (31 bits), or says again what it is watched for: {@link
   * READABLE}, {@link WRITABLE}, both or 0. Failures are told in any case.
   */
  want(fd: number, id: number, events: number): void
  /**
   * Takes a socket out and closes it; with `reset` its other side sees ECONNRESET. Harmless for one
   * that is not in.
   */
  drop(fd: number, reset: boolean): void
  /**
   * Reads once from each socket that is ready, one behind the other from `offset` on, from as many
   * as there is room for in both; `POLLER_READ_BYTES` each.
   * @returns how many records there are now: the id, what happened, and the number of bytes (0 is
   * the end) or of the error (below 0, as libuv has it)
   */
  read(into: Uint8Array, offset: number, records: Int32Array): number
  /** Closes it and the sockets that are still in. */
  close(): void
}

/** The bytes of sockets, without Node's own. */
export interface NativeSockets {
  readonly constants: NativeConstants
  poller(): NativePoller
  /**
   * Sends what the socket takes now of `chunks`, in order; gives how many bytes that were, 0 where
   * it takes none.
   */
  send(fd: number, chunks: readonly Uint8Array[]): number
  /** Ends our side, behind what was sent. */
  shutdown(fd: number): void
  /**
   * Bytes (an end is one) that the socket was given and the other side's system has not said that
   * it has.
   */
  unacknowledged(fd: number): number
  /**
   * No delay for small packets; and, for more than 0, keep-alive: the first probe after so many
   * seconds of silence.
   */
  tune(fd: number, keepaliveSeconds: number): void
}

/** The end of the process, which does not wait for its threads as `process.exit` does. */
export interface NativeExit {
  /**
   * Does not return. `blocking` has a bit for each of the descriptors 0 to 2 that is to block
   * again.
   */
  exit(status: number, blocking: number): void
}

/** Pipes of the kernel's, which Node's spawn does not make: what it calls pipes are sockets. */
export interface NativePipes {
  /**
   * The end to read and the end to write, close-on-exec and blocking. Both belong to the caller.
   */
  pipe(): [read: number, write: number]
}

/** Names of a terminal's modes, as stty has them: flags, and characters. */
export type TerminalMode =
  | 'iutf8'
  | 'ixon'
  | 'icrnl'
  | 'opost'
  | 'onlcr'
  | 'echo'
  | 'icanon'
  | 'isig'
  | 'intr'
  | 'quit'
  | 'erase'
  | 'kill'
  | 'eof'
  | 'susp'

/** Pseudo-terminals. What they carry is read and written by {@link NativeDevices}. */
export interface NativeTerminals {
  /**
   * Makes a pseudo-terminal: characters, and pixels where known (else 0). Throws `EIO` or `ENOSPC`
   * where there is none left. A read of `master` throws `EIO` at its end.
   */
  openTerminal(columns: number, rows: number, x: number, y: number): { readonly master: number; readonly slave: number }
  /** Who runs in the foreground of it is told. */
  resize(master: number, columns: number, rows: number, x: number, y: number): void
  /** The process group in the foreground; 0 where there is none. */
  foreground(master: number): number
  /** 0 or 1 of a flag, 0 to 255 of a character. */
  setMode(fd: number, name: TerminalMode, value: number): void
  /** The character that ends a program's input; undefined where it does not read by lines. */
  endOfFile(fd: number): number | undefined
}

/** A user as the system has it. */
export interface NativeUser {
  readonly uid: number
  readonly gid: number
  /** All of its groups, `gid` among them. */
  readonly groups: readonly number[]
  readonly home: string
  readonly shell: string
}

/** Users by their names. */
export interface NativeUsers {
  /**
   * Undefined where there is none of that name. Rejects with the system's error. Takes a thread of
   * the pool.
   */
  findUser(name: string): Promise<NativeUser | undefined>
}

/** What the C files export. */
export type NativeAddon = NativeDescriptors &
  NativeSwap &
  NativeVsock &
  NativeDevices &
  NativeNaming &
  NativeTimes &
  NativeSockets &
  NativeTerminals &
  NativeExit &
  NativePipes &
  NativeUsers

/** What came of loading: the addon, or a sentence that says why there is none. */
export type NativeStatus = { readonly native: NativeAddon; readonly path: string } | { readonly problem: string }

/**
 * Set to anything, it switches the addon off: to find out whether a fault is the addon's, and to
 * test what works without it.
 */
const SWITCH = 'TRUNKLINE_NO_ADDON'

let status: NativeStatus | undefined

/** Loads the addon once; afterwards gives the same answer. Never throws. */
export function nativeStatus(): NativeStatus {
  status ??= load()
  return status
}

/** The addon, or undefined where it is not available. */
export function loadNative(): NativeAddon | undefined {
  const found = nativeStatus()
  return 'native' in found ? found.native : undefined
}

function load(): NativeStatus {
  if ((process.env[SWITCH] ?? '') !== '') return { problem: `the native addon is switched off (${SWITCH})` }
  const file = findAddon()
  return file === undefined ? { problem: 'the native addon was not built (npm run build:native)' } : open(file)
}

function open({ path, load: loadFile }: AddonFile): NativeStatus {
  try {
    const native = loadFile() as NativeAddon
    if (!isOfTheseSources(native))
      return { problem: `the native addon ${path} is of other sources than this: build it again` }
    return { native, path }
  } catch (error) {
    // A file for another system or an older libc: as good as none.
    return {
      problem: `the native addon ${path} does not load: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

/**
 * One that was built before, from what the sources were then, would be called for what it does not
 * have.
 */
function isOfTheseSources({ constants }: { readonly constants?: Partial<NativeConstants> }): boolean {
  return constants?.READABLE === READABLE && constants.WRITABLE === WRITABLE
}
