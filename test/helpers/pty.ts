/**
 * Real serial lines without hardware: pseudo-terminals, made by a small C program
 * (test/fixtures/pty.c) that is compiled when it is first needed. What is at the far end of the
 * line is the test itself, or a second pseudo-terminal with whatever transforms stand between.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Duplex, PassThrough, type Transform } from 'node:stream'
import { compiledFixture } from './compiled.ts'
import { endWithTests } from './left-children.ts'

/** What is special about a line. */
export interface PtyOptions {
  /** Bytes a second, each way. @default as fast as it goes */
  rate?: number
  /**
   * Leaves the terminal as the kernel makes it: echo, line editing, CR and NL mapped. @default raw
   */
  cooked?: boolean
}

/** One pseudo-terminal. */
export interface Pty {
  /** What a program opens: `/dev/pts/7`. Stays, with its settings, while nobody has it open. */
  readonly path: string
  /** The far end of the line. */
  readonly master: Duplex
  /** The line is gone, at once: who has `path` open sees a hang-up. */
  close(): Promise<void>
}

/** Two pseudo-terminals, joined. */
export interface PtyPair {
  readonly near: string
  readonly far: string
  close(): Promise<void>
}

/** Made anew for each way: `there` carries what is written to `near`. */
export type Via = (way: 'there' | 'back') => Transform

/** Opens a pseudo-terminal. */
export async function openPty({ rate, cooked = false }: PtyOptions = {}): Promise<Pty> {
  const args = [...(rate === undefined ? [] : ['--rate', String(rate)]), ...(cooked ? ['--cooked'] : [])]
  const child = spawn(await compiledFixture('pty'), args, { stdio: ['pipe', 'pipe', 'pipe'] })
  endWithTests(child)
  const closed = once(child, 'close')
  // a line that is gone takes no more: whoever writes to it learns it from the stream's end
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stderr })
  const [path] = (await Promise.race([once(lines, 'line'), closed.then(() => ['nothing'])])) as [string]
  lines.close()
  if (!path.startsWith('/')) throw new Error(`there is no pseudo-terminal: ${path}`)
  const master = Duplex.from({ readable: child.stdout, writable: child.stdin })
  master.on('error', () => undefined) // see stdin's: the end says it
  return {
    path,
    master,
    async close() {
      child.kill('SIGKILL')
      // what was on its way is gone with the line, and nobody need read it for the streams to close
      master.destroy()
      child.stderr.destroy()
      await closed
    },
  }
}

/**
 * Opens two and joins their far ends, through `via` if it is given: for bytes that are changed,
 * lost, added or sent back on the way.
 */
export async function ptyPair({ via, ...options }: PtyOptions & { via?: Via } = {}): Promise<PtyPair> {
  const [near, far] = await Promise.all([openPty(options), openPty(options)])
  const between = via ?? (() => new PassThrough())
  near.master.pipe(between('there')).pipe(far.master)
  far.master.pipe(between('back')).pipe(near.master)
  return {
    near: near.path,
    far: far.path,
    async close() {
      await Promise.all([near.close(), far.close()])
    },
  }
}
