/**
 * The public shapes: what a transport gives, what a protocol is, what users hold. Types only;
 * nothing here runs.
 */
import type { Sink, Source } from 'it-stream-types'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { ErrorCode, TrunkError } from './errors.ts'
import type { Limits } from './limits.ts'

/** A timer that was started; `cancel()` is harmless after it fired. */
export interface Timer {
  /** Stops the timer; its callback is not called any more. */
  cancel(): void
}

/** A monotonic clock. Wall-clock changes must not move it. */
export interface Clock {
  /** Milliseconds since an arbitrary start, never running backwards. */
  now(): number
  /**
   * Calls `callback` once, `delayMs` from now. A pending timer does not keep the process alive,
   * unless `hold` is true: for a wait after which something goes on that nothing else stands for.
   */
  after(delayMs: number, callback: () => void, hold?: boolean): Timer
}

/** Bytes in one piece or in several. */
export type Bytes = Uint8Array | Uint8ArrayList

/**
 * One raw byte duplex that a transport gives. Its owner (a session, once it was handed over) is the
 * only one to touch it.
 *
 * - `source` ends cleanly only where the line tells that the peer ended it, and throws a
 *   `TrunkError` of scope `link` otherwise. A chunk belongs to the reader from the moment it is
 *   yielded: the transport never writes to it again.
 * - `sink` drains what it is given, in order, honouring the line's back-pressure, resolves when all
 *   of it was handed over and the writing side has been ended, and rejects when the line fails. It
 *   may not change a chunk or keep it after asking for the next.
 * - `close` ends both sides after what was written has left, and settles within `closeTimeoutMs`.
 *   `abort` drops everything at once (a TCP link resets). Both are harmless when repeated; after
 *   either nothing of the link is left: no descriptor, listener or timer.
 */
export interface Link {
  /** What comes from the peer, in order. Iterated once. */
  readonly source: AsyncIterable<Bytes>
  /** Sends all of `source` to the peer and ends the writing side. Called once. */
  readonly sink: (source: AsyncIterable<Bytes>) => Promise<void>
  /** Ends both sides gracefully; never rejects because of the peer. */
  close(): Promise<void>
  /** Drops the link at once; what waits on it fails with `reason`. */
  abort(reason: Error): void
  /** Who is at the other end, for messages and `status()`: `127.0.0.1:41234`. */
  readonly peer?: string
  /**
   * The same duplex as plain calls; used instead of `source` and `sink` where it is there. See
   * {@link DirectLink}.
   */
  readonly direct?: DirectLink
}

/** What a {@link DirectLink} calls. */
export interface DirectReceiver {
  /** Bytes arrived; the chunk belongs to the receiver. */
  data(chunk: Uint8Array): void
  /**
   * Asked after `data` by a link that has `release`: of how many bytes of that chunk the receiver
   * still holds views. Those are its own until it releases them, which it need not do; the memory
   * of the others may be read into again. @default all
   */
  kept?(): number
  /**
   * Asked before an end is told, by a link that has to look whether it is none but a failure: true
   * where that makes no difference to the receiver any more. @default false
   */
  isOver?(): boolean
  /** The peer ended its side. Nothing follows. */
  end(): void
  /** The line failed. Nothing follows. */
  fail(error: Error): void
  /** After `write` returned false: everything written so far has left. */
  drain(): void
}

/** A link without a promise per chunk: optional, and only faster. */
export interface DirectLink {
  /** Starts the flow; called once, before anything else. */
  start(receiver: DirectReceiver): void
  /**
   * Hands a batch over, in order. True: it has left (the kernel has it) and its buffers are free
   * again. False: they are free, and more may be written, when `drain` is called.
   */
  write(batch: readonly Uint8Array[]): boolean
  /** Ends our side after what was written. */
  end(): void
  /** Nobody looks at this view of a chunk any more: its memory may be read into again. */
  release?(view: Uint8Array): void
}

/** Facts about a kind of line. */
export interface TransportTraits {
  /** False where bytes can be lost or changed on the way. */
  readonly lossless: boolean
  /** False where the peer's coming and going does not reach us. */
  readonly connected: boolean
  /** Largest data frame worth sending: one that the line takes in a few milliseconds. */
  readonly preferredFrameBytes: number
  /**
   * Data that may be under way each way, at least 1,024 bytes, where the line stops for good beyond
   * that. @default limits.maxInFlightBytes alone
   */
  readonly maxInFlightBytes?: number
}

/** A way to get bytes to the peer, bound to one address. An object with facts, not a base class. */
export interface Transport {
  /** The address's scheme, without the colon: `tcp`. */
  readonly scheme: string
  /** The address as a user would write it. */
  readonly address: string
  /** Facts about the links that it gives; they choose the framing. */
  readonly traits: TransportTraits
  /**
   * Dials. Rejects with a `TrunkError` (ERR_CONNECT_*, ERR_NAME_NOT_FOUND …) or, when `signal`
   * aborts, its reason.
   */
  connect(options: TransportOptions): Promise<Link>
  /** Listens. Rejects with a `TrunkError` (ERR_ADDRESS_IN_USE, ERR_BIND_DENIED …). */
  listen(options: TransportOptions): Promise<Listener>
}

/** What {@link Transport} calls are given. */
export interface TransportOptions {
  /** Ends the dialling or the wait when it aborts. */
  readonly signal: AbortSignal
  /** The clock of all time limits. */
  readonly clock: Clock
  /** The limits of the session to be, with their defaults filled in. */
  readonly limits: Readonly<Limits>
  /**
   * Told why a listener has nothing to listen at yet, where it waits: a device that is missing, or
   * that somebody else has. Once, and again where the reason is another. Never throws.
   */
  readonly onWaiting?: (error: TrunkError) => void
}

/**
 * Accepts links. Iterating ends when it is closed; `close` frees the address and leaves accepted
 * links alone.
 */
export interface Listener extends AsyncIterable<Link> {
  /** The real address: the port that was chosen for port 0. */
  readonly address: string
  /** Frees the address; links that were accepted live on. Rejects where that fails. */
  close(): Promise<void>
}

/**
 * What `connect`, `serve` and `overLink` all take. What only one of them takes is in its own
 * options; given to another it is ERR_BAD_ARGUMENT.
 */
export interface TrunkOptions {
  /** Protocols that the peer may open on us. Everything else is refused. @default none */
  protocols?: readonly Protocol[]
  /** Overrides of {@link Limits}. */
  limits?: Partial<Limits>
  /**
   * What the trunks share with all others that are given the same object. @default the budgets of
   * the process
   */
  budgets?: Budgets
  /**
   * Shared secret, at least 16 bytes; both sides need it. It never travels: each side proves that
   * it has it by an HMAC over the other's challenge. It authenticates the start of a session and
   * does not encrypt the line.
   */
  token?: string | Uint8Array
  /**
   * Aborts the dialling and the hello; no effect on an established session, nor, with `reconnect`,
   * after the first one.
   */
  signal?: AbortSignal
  /** How we name ourselves in the hello, at most 64 bytes. @default 'trunkline' */
  name?: string
  /** Told of each open that was refused here, and of each handler that failed. Must not throw. */
  onPipeError?: (refusal: Refusal) => void
  /** The clock of all time limits and of the keepalive. @default the machine's monotonic clock */
  clock?: Clock
}

/** Options that belong to another call: they are an error of the type check, also in a variable. */
type Elsewhere<Name extends string> = Readonly<Partial<Record<Name, never>>>

/** Options of `connect`. */
export interface ConnectOptions extends TrunkOptions, Elsewhere<'role' | 'traits' | 'onSessionError'> {
  /**
   * True: sessions outlive their links where the peer wants that too. When a link is lost the pipes
   * wait, and they go on byte for byte over the next one, which the connecting side dials within
   * `resumeMs`. Only for lines that are connected and lossless. @default false
   */
  resume?: boolean
  /** Further schemes for string addresses. */
  transports?: Readonly<Record<string, (address: string) => Transport>>
  /**
   * True: `connect` tries until there is a session, with waits from `reconnectMinMs` to
   * `reconnectMaxMs`, and rejects with the signal's reason or an error that trying again cannot
   * cure. The trunk is that one session: when it is lost, it is over. @default false
   */
  retry?: boolean
  /**
   * True: as with `retry`, and again whenever the session is lost. See {@link ReconnectingTrunk}.
   * @default false
   */
  reconnect?: boolean
  /**
   * Told of each change of the connection, from the first attempt to the end, with or without
   * `retry` and `reconnect`. Must not throw.
   */
  onConnection?: (status: ConnectionStatus) => void
}

/** Options of `serve`. */
export interface ServeOptions
  extends TrunkOptions, Elsewhere<'role' | 'traits' | 'retry' | 'reconnect' | 'onConnection'> {
  /**
   * True: sessions outlive their links where the peer wants that too. When a link is lost the pipes
   * wait, and they go on byte for byte over the next one, which the connecting side dials within
   * `resumeMs`. Only for lines that are connected and lossless. @default false
   */
  resume?: boolean
  /** Further schemes for string addresses. */
  transports?: Readonly<Record<string, (address: string) => Transport>>
  /**
   * Told of each link whose session could not be established, and, with the address for `peer`, why
   * a device cannot be opened that it waits for. Must not throw.
   */
  onSessionError?: (rejection: { readonly peer: string; readonly error: Error }) => void
}

/** Options of `overLink`. */
export interface LinkOptions
  extends TrunkOptions, Elsewhere<'resume' | 'transports' | 'retry' | 'reconnect' | 'onConnection' | 'onSessionError'> {
  /** Which side of a token's proof we are; needed with a token, and only then. */
  role?: 'connect' | 'serve'
  /** Facts about the link. @default lossless, connected, frames of 64 KiB */
  traits?: TransportTraits
}

/** An open that was refused, or a handler that failed after it accepted. */
export interface Refusal {
  /** The address of the peer that asked, or its name where it has no address. */
  readonly peer: string
  /** The protocol that it asked for. */
  readonly protocol: string
  /** Why: the code that the peer has got, too. */
  readonly code: ErrorCode
  /** The same as a sentence. It stays here where the error was no `TrunkError`. */
  readonly message: string
  /** False when the pipe had been accepted before. */
  readonly refused: boolean
}

/** Accepts sessions: iterate it, or give `protocols` and let it run. */
export interface Server extends AsyncIterable<Trunk>, AsyncDisposable {
  /** The real address. */
  readonly address: string
  /** The trunks that are established now. */
  readonly trunks: ReadonlySet<Trunk>
  /** A snapshot; it costs the more, the more trunks there are. */
  status(): ServerStatus
  /**
   * Stops accepting, closes every trunk gracefully. Settles within `closeTimeoutMs`; rejects, when
   * all has ended, where the address could not be freed.
   */
  close(): Promise<void>
}

/**
 * How much the trunks may have together. docs/reference/limits.md says of each what it stops and
 * where its default comes from.
 */
export interface BudgetSizes {
  /** Bytes that each transfer, listing and batch holds at least. */
  transferBytes: number
  /** Bytes beside those that transfers have read ahead. */
  readAheadBytes: number
  /** Calls of the file system that are in Node's thread pool at a time. */
  poolJobs: number
  /** Descriptors that operations on files, connections and listeners hold. */
  descriptors: number
  /** What the receive windows of all pipes may have grown by. */
  windowBytes: number
  /**
   * What the initial windows of the pipes that peers have opened are together: the most that they
   * may hold unread before any has grown.
   */
  inboxBytes: number
  /**
   * Host names that the system's resolver looks up at a time for peers: each blocks a thread for up
   * to tens of seconds.
   */
  lookups: number
}

/** What one peer address, or one trunk whose line has no addresses, has of a budget. */
export interface PeerUse {
  /** The address; empty where there is none. */
  readonly peer: string
  /** How much it holds now, in units of the budget. */
  readonly used: number
  /** The number of its operations that wait for some of it. */
  readonly waiting: number
}

/** How one budget stands. */
export interface BudgetStatus {
  /** The size of the budget, in its unit. */
  readonly max: number
  /** How much of it is taken now. */
  readonly used: number
  /** Operations that wait for some of it. */
  readonly waiting: number
  /** How often somebody was refused for want of it. */
  readonly refused: number
  /**
   * Who has how much, the greediest first, at most 16: by address, and each trunk for itself where
   * the line has none.
   */
  readonly peers: readonly PeerUse[]
}

/** How all of them stand. */
export type BudgetsStatus = Readonly<Record<keyof BudgetSizes, BudgetStatus>>

/** What trunks share, made by `createBudgets`. */
export interface Budgets {
  /** A snapshot of all budgets. */
  status(): BudgetsStatus
}

/** What {@link Server.status} gives. */
export interface ServerStatus {
  /** The real address, as {@link Server.address}. */
  readonly address: string
  /** Sessions that are established, and links that are in their hello. */
  readonly sessions: number
  /** The number of links that are in their hello exchange. */
  readonly handshakes: number
  /** Links that were cut in their hello to make room for others. */
  readonly cutHandshakes: number
  /**
   * What the trunks have of what they share with each other, and with whatever else has the same
   * budgets.
   */
  readonly budgets: BudgetsStatus
}

/** Options of {@link Trunk.open}. */
export interface OpenOptions {
  /** Aborting it before the answer gives the slot back; afterwards it aborts the pipe. */
  signal?: AbortSignal
  /** Version of the protocol that is asked for. @default 1 */
  version?: number
  /**
   * All that will be written, in bytes: it travels with the open, in one batch with the end of
   * writing, as far as the peer's initial window reaches. The peer may answer and refuse as with
   * any other open. Empty: there is nothing to write. Not to be changed until `open` settles, and
   * not beside `early`.
   */
  body?: Uint8Array
  /**
   * As `body`, for the first of the bytes that will be written: writing goes on when the pipe is
   * there.
   */
  early?: Uint8Array
  /**
   * True: what the peer wrote before it reset the pipe, or the session was lost, is read first, and
   * then the error is told; where the peer ended before, the end. So a connection that was cut
   * gives what came before the cut. @default false: a pipe that fails drops what is unread
   */
  readBeforeReset?: boolean
  /**
   * How long the peer's answer may take, in milliseconds; ERR_PIPE_STALLED above it. @default as
   * long as the session lives
   */
  answerTimeoutMs?: number
  /**
   * How long the pipe may go without progress while somebody here waits for the peer (for its
   * answer, for bytes, for leave to send, for the confirmation of the end), in milliseconds, from
   * the open to its end; ERR_PIPE_STALLED above it. @default as long as the session lives
   */
  progressTimeoutMs?: number
}

/** What a pipe waits for, as `status()` says it. */
export type WaitsFor = 'nothing' | 'link' | 'accept' | 'credit' | 'line' | 'reader' | 'handler' | 'confirmation'

/** One pipe in {@link TrunkStatus}. */
export interface PipeStatus {
  /** The number of the pipe, unique in its session. */
  readonly id: number
  /** The protocol that it was opened for. */
  readonly protocol: string
  /** `outbound` where this side opened it. */
  readonly direction: 'outbound' | 'inbound'
  /** Bytes of data that came and were read here. */
  readonly bytesRead: number
  /** Bytes of data that were handed to the link. */
  readonly bytesWritten: number
  /** Bytes that the peer still lets us send. */
  readonly creditLeft: number
  /** Bytes that arrived and were not read. */
  readonly unread: number
  /** Milliseconds since the open. */
  readonly ageMs: number
  /** What has to happen before it goes on. */
  readonly waitsFor: WaitsFor
}

/**
 * What a session has tolerated, counted from its start. Each is harmless; one that grows fast says
 * that the peer is slow, or wrong.
 */
export interface TrunkCounters {
  /**
   * Frames of pipes that were over here when they came: what was under way when a pipe was reset.
   */
  readonly lateFrames: number
  /** Credits that granted nothing new. */
  readonly staleCredits: number
  /**
   * Opens refused because of a limit that the peer knew (`maxPipes`, `maxWaitingPipes`); at
   * `maxRefusals` the session ends.
   */
  readonly refusedOpens: number
  /** Answers to pings that nobody had sent. */
  readonly strayPongs: number
  /** Frames of an optional type that this version does not know. */
  readonly skippedFrames: number
}

/** What {@link Trunk.status} gives. */
export interface TrunkStatus {
  /**
   * `connecting` and `resuming` only of a {@link ReconnectingTrunk}: it has no session, or a
   * session with `resume` that has no link, and dials; the rest is about its last session.
   * `waiting` of both between two attempts, and of any other session with `resume` that has no
   * link.
   */
  readonly state: 'connecting' | 'resuming' | 'waiting' | 'open' | 'closing' | 'closed'
  /** The address that was dialled or listened at. */
  readonly address: string
  /** The peer as its hello says it, and the address that the link knows. */
  readonly peer: {
    readonly name: string
    readonly address: string
    readonly epoch: string
    readonly protocols: readonly string[]
  }
  /** The scheme of the address, and the facts about the link. */
  readonly transport: { readonly scheme: string; readonly traits: TransportTraits }
  /** The version of the wire format that both speak. */
  readonly version: number
  /** Milliseconds since the session was established. */
  readonly ageMs: number
  /** Smoothed round trip in milliseconds; undefined before the first answer. */
  readonly roundTripMs: number | undefined
  /** Bytes that have come through the link, headers included. */
  readonly bytesRead: number
  /** Bytes that were handed to the link, headers included. */
  readonly bytesWritten: number
  /** Of a session with `resume` at both sides; undefined of any other. */
  readonly resume:
    | {
        /** Links that have gone on with it, after its first. */
        readonly resumed: number
        /** Bytes that the peer has not confirmed: this side keeps copies of them. */
        readonly retainedBytes: number
        /** Bytes that were sent again, over another link. */
        readonly resentBytes: number
      }
    | undefined
  /** The pipes of the session that are not over yet. */
  readonly pipes: readonly PipeStatus[]
  /** What was tolerated from the peer. */
  readonly counters: TrunkCounters
}

/**
 * A session with its muxer: it opens pipes, and serves the protocols that it was given. Whoever
 * holds it closes it; it needs nobody to read it.
 *
 * @example
 * ```ts
 * await using trunk = await connect('vsock://3:7000')
 * const pipe = await trunk.open('echo', undefined, { body: Buffer.from('hello') })
 * console.log(await text(pipe), trunk.status().roundTripMs)
 * ```
 */
export interface Trunk extends AsyncDisposable {
  /** Opens a pipe; resolves when the peer's handler has accepted it, rejects with its refusal. */
  open(protocol: string, params?: unknown, options?: OpenOptions): Promise<Pipe>
  /**
   * Lets the peer open `protocol` on us from now on; a second one of that name is a bad argument.
   */
  handle(protocol: Protocol): void
  /** Round trip in milliseconds. */
  ping(options?: { signal?: AbortSignal }): Promise<number>
  /** A snapshot; it costs the more, the more pipes there are. */
  status(): TrunkStatus
  /**
   * Graceful: no new pipes, existing ones finish, then the link closes. What has not finished after
   * `closeTimeoutMs` is cut.
   */
  close(): Promise<void>
  /**
   * At once: every pipe fails with `reason`, the peer is told its code where the line still takes
   * it.
   */
  abort(reason: Error): void
  /**
   * Resolves when the session has ended well (either side's `close`), rejects with the error that
   * ended it. Never unhandled.
   */
  readonly closed: Promise<void>
}

/**
 * How a connection that `connect` makes stands. `connecting`: an attempt at a session is under way.
 * `open`: a session is established, and has a link. `resuming`: an attempt at another link for it.
 * `waiting`: until the next attempt at either. `closed`: for good.
 */
export interface ConnectionStatus {
  /** Where the connection is, in the words above. */
  readonly state: 'connecting' | 'resuming' | 'open' | 'waiting' | 'closed'
  /**
   * Attempts at the next session or link so far, the present one included; while there is one, how
   * many it took. 0 right after a session has ended.
   */
  readonly attempt: number
  /** Sessions that have stood, the present one included; 0 or 1 without `reconnect`. */
  readonly sessions: number
  /**
   * Why the last attempt failed or the last session ended, until the next session is established;
   * of `closed`, what closed it, unless that was `close`.
   */
  readonly error?: TrunkError
  /** Of `waiting`: how long this wait is. */
  readonly retryInMs?: number
}

/**
 * A trunk that outlives its sessions: when one is lost, however it ended, the peer is dialled
 * again, one attempt at a time, after waits from `reconnectMinMs` to `reconnectMaxMs`. A session
 * that stood for a second makes the next wait the shortest again.
 *
 * - A session's pipes fail with it: what was under way has to be asked for again. `open` and `ping`
 *   wait while there is no session, until their signal aborts; beyond `maxPipes` of them at a time
 *   they fail with ERR_PIPE_LIMIT.
 * - Protocols are served in every session; a handler's `request.trunk` is the one session that the
 *   pipe is of.
 * - `close` and `abort` end it for good, at once where no session is established. So does an error
 *   that trying again cannot cure (a wrong token, no common version, no right to the device …):
 *   `closed` rejects with it. The peer's own `close` is a loss like any other.
 * - It keeps the process alive until it is closed, between sessions as well.
 */
export interface ReconnectingTrunk extends Trunk {
  /** Where the connection is now; `watch` gives each change. */
  readonly connection: ConnectionStatus
  /**
   * The present status, then each change. A slow reader is given the latest one and not those
   * between; after `closed` it ends. Leaving the loop leaves nothing behind.
   */
  watch(): AsyncIterable<ConnectionStatus>
}

/**
 * One flow-controlled, bidirectional byte stream: an it-stream-types Duplex, so `it-pipe` takes it
 * as it is.
 *
 * Leaving a block with `await using pipe` is `close` with a limit: a `sink` that runs ends first,
 * reading stops, and what was written arrives. It rejects where the peer did not take all that was
 * written, and with ERR_CLOSE_TIMEOUT after `closeTimeoutMs`. A block that is left by an exception
 * ends its pipe, too: `abort` says that it is to be broken off.
 *
 * @example
 * ```ts
 * const pipe = await trunk.open('upload', { name: 'data.bin' })
 * for (const chunk of chunks) await pipe.write(chunk) // waits where the peer does not read
 * await pipe.closeWrite()
 * for await (const bytes of pipe) console.log(bytes.byteLength) // until the peer has ended
 * await pipe.close() // the peer's handler has finished well
 * ```
 */
export interface Pipe extends AsyncIterable<Uint8ArrayList>, AsyncDisposable {
  /** The number of the pipe, unique in its session. */
  readonly id: number
  /** The protocol that it was opened for. */
  readonly protocol: string
  /** What the peer's handler gave to `accept`; undefined on the accepting side. */
  readonly reply: unknown
  /**
   * Aborts with the pipe's error when the pipe fails, is reset or its session ends. Not by a clean
   * end.
   */
  readonly signal: AbortSignal
  /**
   * What the peer writes: each item holds everything that had arrived. Ends when the peer ended;
   * throws otherwise. Leaving the loop early is {@link stopReading}. Can be iterated once. The
   * bytes belong to the reader.
   */
  readonly source: AsyncGenerator<Uint8ArrayList, void, undefined>
  /**
   * Iterates {@link source}: `for await (const bytes of pipe)`. Throws ERR_PIPE_BUSY where the pipe
   * is read already.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8ArrayList, void, undefined>
  /**
   * The same as {@link source}, in its place, for a reader that is done with each item before it
   * asks for the next: the bytes are only borrowed until then, and their memory is read into again.
   * So bulk stays in the processor's cache (docs/internals/performance.md says what it is worth).
   */
  readonly borrowed: AsyncGenerator<Uint8ArrayList, void, undefined>
  /**
   * Writes all of `source`, then ends our side. Rejects if `source` throws (the pipe is then reset)
   * or the pipe fails.
   */
  readonly sink: Sink<Source<Bytes>, Promise<void>>
  /**
   * Resolves when more may be written. Large chunks are not copied: a chunk must not be changed
   * before its `write` has resolved, and is free afterwards. One whose `write` has rejected may
   * still be on its way: it is nobody's to change, and the collector's to take.
   */
  write(chunk: Bytes): Promise<void>
  /** Ends our side; resolves when the end has been handed to the line. The other side goes on. */
  closeWrite(): Promise<void>
  /**
   * Tells the peer to stop sending; what has arrived and arrives is dropped. @default code
   * ERR_PIPE_STOPPED
   */
  stopReading(code?: ErrorCode): void
  /**
   * Ends our side, resolves when the peer has read everything and its handler has finished well;
   * else rejects with its error.
   */
  close(): Promise<void>
  /**
   * Resets: both directions are over at both ends. What was written and has not left is dropped.
   */
  abort(reason: Error): void
  /**
   * Resets behind what was written (and behind the end, where that was written): nothing can be
   * written or read from now on, and the peer, which is told to stop, gets the reset after the
   * rest; its reader has the rest first where it asked for that (`readBeforeReset`). Resolves when
   * the pipe is over here, however that came; never rejects. A peer that lets no more of the rest
   * leave for `orphanTimeoutMs` gets the reset without it.
   */
  abortWhenWritten(reason: Error): Promise<void>
  /** Bytes that can be read now. */
  readonly readableLength: number
  /**
   * Bytes that can be written now without waiting: 64 KiB ahead of the line, up to 256 KiB where
   * the peer answers within 2 ms and has granted them.
   */
  readonly writableLength: number
}

/** An open by the peer, as its handler sees it. */
export interface PipeRequest<P = unknown> {
  /** What `parse` of the protocol made of the parameters. */
  readonly params: P
  /** The version that the opener asked for; 1 where it named none. */
  readonly version: number
  /** The trunk through which the peer asks. */
  readonly trunk: Trunk
  /** Aborts when the pipe or its session fails, before and after accepting. */
  readonly signal: AbortSignal
  /**
   * Answers the open. To be called once, after the real work (dial, bind, open file) is done. Needs
   * no `this`.
   */
  readonly accept: (reply?: unknown) => Pipe
  /**
   * Tells the opener that the work for it goes on: its `progressTimeoutMs` begins again. For work
   * that is answered when all of it is done; call it as often as you like, it costs a frame a
   * second at most, so an opener's time is to be 2 s or more. Nothing is told to an opener that may
   * still write: its bytes and your reading are progress.
   */
  working(): void
}

/**
 * A named handler of pipes. `handle` throwing before `accept` refuses the open with that error's
 * code; returning finishes the pipe; throwing after `accept` resets it. Messages of errors that are
 * no `TrunkError` stay here.
 */
export interface Protocol {
  /** 1 to 255 bytes of UTF-8. */
  readonly name: string
  /** The version that is served; another one is refused with ERR_PROTOCOL_VERSION. @default 1 */
  readonly version?: number
  /** As for `open`: its pipes give what came before a reset. @default false */
  readonly readBeforeReset?: boolean
  /** The request's parameters, checked; throws what refuses the open. */
  parse(params: unknown): unknown
  /** Serves one pipe, from its open to its end. */
  handle(request: PipeRequest<never>): Promise<void>
}

/** What `defineProtocol` takes. */
export interface ProtocolDefinition<P> {
  name: string
  /** The version that is served. */
  version?: number
  /** As for `open`: pipes give what came before a reset. */
  readBeforeReset?: boolean
  /** Turns what the peer sent into parameters; what it throws refuses the open. */
  parse(params: unknown): P
  /** Serves one pipe, from its open to its end. */
  handle(request: PipeRequest<P>): Promise<void>
}
