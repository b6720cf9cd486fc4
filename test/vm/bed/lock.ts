/**
 * One at a time, across processes. The kernel lets go of the lock when its holder is gone, however
 * it went.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** Runs `use` while no other process holds the lock on `file`. */
export async function withLock<T>(file: string, use: () => Promise<T>): Promise<T> {
  // flock holds the lock as long as its cat lives, and that lives as long as our end of its input
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(holder, 'exit')
  try {
    await Promise.race([
      once(holder.stdout, 'data'),
      exit.then(([status]) => {
        throw new Error(`flock ${file} ended with ${String(status)}`)
      }),
    ])
    return await use()
  } finally {
    holder.stdin.end()
    await Promise.all([exit, text(holder.stdout)])
  }
}
