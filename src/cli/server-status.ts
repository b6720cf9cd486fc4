/** What `serve` says on SIGUSR1: its sessions, and who has how much of what they share. */
import type { Server, ServerStatus } from '../index.ts'
import { printable } from '../runtime/printable.ts'
import { say, type Context } from './context.ts'

/** Peers of each budget that are named. */
const NAMED = 4

/** Says the status on stderr at each SIGUSR1, until the result is called. */
export function statusOnSignal(context: Context, server: Server): () => void {
  const tell = (): void => {
    for (const line of statusLines(server.status())) say(context, `trunkline: ${line}`)
  }
  process.on('SIGUSR1', tell)
  return () => process.off('SIGUSR1', tell)
}

/** One line for the sessions, one for each budget. */
export function statusLines(status: ServerStatus): string[] {
  const { sessions, handshakes, cutHandshakes, budgets } = status
  return [
    `${sessions} sessions, ${handshakes} in their hello, ${cutHandshakes} cut there`,
    ...Object.entries(budgets).map(([name, { max, used, waiting, refused, peers }]) => {
      const who = peers.slice(0, NAMED).map((one) => `${one.peer === '' ? 'a trunk' : printable(one.peer)} ${one.used}`)
      const named = who.length === 0 ? '' : `; ${who.join(', ')}`
      return `${name}: ${used} of ${max}, ${waiting} wait, ${refused} refused${named}`
    }),
  ]
}
