/**
 * What starts a program and hands back its streams: the one place where the protocol `exec` meets
 * the operating system. A launcher decides nothing; who may run what was decided before it is asked
 * (policy.ts), and which file a name stands for as well (search.ts).
 */

/**
 * How the processes of a command are kept together. `group`: a process group, which a process can
 * leave by `setsid`.
 */
export type Tree = 'cgroup' | 'keeper' | 'group'

/** What a launch can fail at. The sentence of its error names it. */
export type Stage = 'limits' | 'user' | 'directory' | 'terminal' | 'search' | 'execute'

/**
 * Whom a signal is for. `group` is the leader's process group, `foreground` that of the terminal.
 */
export type SignalScope = 'leader' | 'group' | 'tree' | 'foreground'

/** A terminal's size: characters, and pixels where known (else 0). */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
  readonly x: number
  readonly y: number
}

/** As whom a program runs: numbers, so that nobody has to ask a directory service any more. */
export interface LaunchUser {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

/** Ceilings for the program, in the kernel's units; each is both the soft and the hard one. */
export interface LaunchLimits {
  /** Open descriptors of one process (RLIMIT_NOFILE). */
  readonly nofile?: number | undefined
  /** Processes of its user, all together (RLIMIT_NPROC). */
  readonly nproc?: number | undefined
  /** Address space of one process, in bytes (RLIMIT_AS). */
  readonly as?: number | undefined
  /** Processor time of one process, in seconds (RLIMIT_CPU). */
  readonly cpu?: number | undefined
  /** Length of a file that it writes, in bytes (RLIMIT_FSIZE). */
  readonly fsize?: number | undefined
  /** Length of a memory image, in bytes; 0 writes none (RLIMIT_CORE). */
  readonly core?: number | undefined
}

/** Everything about a program that is to run. Byte strings have no NUL in them. */
export interface LaunchPlan {
  /** Absolute path of the file that is executed, whatever `argv` begins with. */
  readonly file: Uint8Array
  /** At least one; the first is the name that the program goes by. */
  readonly argv: readonly Uint8Array[]
  /** All of the environment, each `NAME=value`. Nothing of this process's own is added. */
  readonly env: readonly Uint8Array[]
  /** Absolute path of where it starts. */
  readonly directory: Uint8Array
  /** @default as we are */
  readonly user?: LaunchUser
  readonly stdin: 'pipe' | 'none'
  readonly stdout: 'pipe' | 'none'
  /** `merge`: the same pipe as `stdout`, so that the order of both is the kernel's. */
  readonly stderr: 'pipe' | 'merge' | 'none'
  /** In place of the three streams, whose members say 'none' then. */
  readonly terminal?: TerminalSize & { readonly modes: Readonly<Record<string, boolean | number>> }
  readonly limits?: LaunchLimits
  /** Bits that new files are without. @default as ours */
  readonly umask?: number
  /** From -20, which comes first, to 19. @default as ours */
  readonly niceness?: number
  /**
   * Absolute path of a control group, made for this program alone: it is entered before the program
   * runs, and removed when it is empty.
   */
  readonly controlGroup?: Uint8Array
  /** Between asking the tree to end and killing it, where this process is gone. @default 2000 */
  readonly graceMs?: number
  /** No program of the tree gains rights by a set-user-id bit. */
  readonly noNewPrivileges: boolean
}

/**
 * What a program writes. One reader; at most 64 KiB are read ahead of it, so a program that nobody
 * reads is stopped by the kernel.
 */
export interface ProgramOutput {
  /**
   * The next bytes, once there are any; undefined at the end, which is when no process has the
   * other end any more. They are borrowed until the next read. Never two at a time. Rejects with a
   * `TrunkError` where the system fails.
   */
  read(): Promise<Uint8Array | undefined>
  /**
   * Closes our end: whoever writes from now on meets SIGPIPE. A read that waits resolves with
   * undefined. Harmless when repeated.
   */
  close(): void
  /**
   * Reads into nothing until the end, for writers that are to go on undisturbed; does not keep the
   * process alive. A read that waits resolves with undefined.
   */
  discard(): void
  /** Resolves when our end is closed. Never rejects. */
  readonly closed: Promise<unknown>
}

/** What a program reads. */
export interface ProgramInput {
  /**
   * Resolves when the chunk is free again: true when the kernel has it, false when nobody reads any
   * more (then, and from then on, nothing is written). Never two at a time.
   */
  write(chunk: Uint8Array): Promise<boolean>
  /**
   * Ends it behind what was written; harmless when repeated. Of a terminal: sends its end-of-file
   * character where it reads by lines, and takes what is written later all the same.
   */
  end(): void
  /** Ends it, and drops what was not taken. A write that waits resolves with false. */
  close(): void
}

/** How the leader ended: one of `code` and `signal`. */
export interface Ended {
  readonly code: number | null
  /** Without SIG: `TERM`. */
  readonly signal: string | null
  readonly core: boolean
  /** Processes of the tree that lived on when it ended. */
  readonly leftovers: number
  /** Of the leader and of what it waited for; undefined where nobody counts. */
  readonly usage?: { readonly userMs: number; readonly systemMs: number; readonly maxRssKiB: number }
}

/** A program that has been executed. */
export interface Launched {
  readonly pid: number
  readonly tree: Tree
  /** There where the plan says `pipe`. */
  readonly stdin?: ProgramInput
  readonly stdout?: ProgramOutput
  readonly stderr?: ProgramOutput
  /** There where the plan has a terminal. */
  readonly terminal?: { readonly input: ProgramInput; readonly output: ProgramOutput }
  /** How the leader has ended. Never rejects. */
  readonly ended: Promise<Ended>
  /**
   * Told of job control: the leader was stopped by a signal, or goes on (undefined). Where nobody
   * tells, never called.
   */
  onStopped?: (signal: string | undefined) => void
  /** Processes of the tree that are alive now; beside the leader where it is. */
  count(): number
  /**
   * Resolves when none is left; for waiting after `kill` or after the leader's end. Never rejects.
   */
  empty(): Promise<void>
  /**
   * Resolves when this process has no descriptor of it open any more: what was left behind may hold
   * outputs for long. Never rejects.
   */
  readonly freed: Promise<unknown>
  /** False where there is nobody to get it. `name` is without SIG. */
  signal(name: string, scope: SignalScope): boolean
  /** Of the terminal. */
  resize(size: TerminalSize): void
  /**
   * Ends the tree: HUP (with a terminal) or TERM, and CONT, to all of it; KILL after `graceMs` to
   * what is left, again and again until nothing is. Repeating it may only shorten the grace.
   * Streams are left as they are.
   */
  kill(graceMs: number): void
  /**
   * The leader has ended well, and what it left behind lives on: the end of this process ends it no
   * longer.
   */
  release(): void
}

/** A way to start programs. */
export interface Launcher {
  readonly tree: Tree
  /** What it can do: a plan that asks for more is never given to it. */
  readonly can: {
    readonly terminal: boolean
    readonly user: boolean
    readonly limits: boolean
    readonly merge: boolean
    /** False: arguments and environment that are not UTF-8 cannot be passed on. */
    readonly bytes: boolean
    /** False: set-user-id programs work as ever. */
    readonly noNewPrivileges: boolean
  }
  /**
   * Resolves when the program has been executed. Rejects with a `TrunkError` whose code is that of
   * the stage that failed and whose sentence names it: then nothing is left of the launch.
   * @param signal gives it up; rejects with its reason, and nothing is left either
   */
  launch(plan: LaunchPlan, signal: AbortSignal): Promise<Launched>
}
