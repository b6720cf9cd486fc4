/** One of the demo's two children, from its plan to its last word. */
import type { Context } from '../context.ts'
import { asFailure } from '../failure.ts'
import { hearParent, parentGone, tellParent } from './child.ts'
import type { Role } from './child.ts'
import { runGuest } from './guest.ts'
import { runHost } from './host.ts'
import type { GuestPlan, HostPlan } from './messages.ts'

/** Plays `role`, as the parent's plan says. */
export async function playRole(context: Context, role: Role): Promise<void> {
  // Without the parent there is nobody to work for, and nothing of ours to clean up: the folder is
  // the parent's.
  void parentGone().then(() => process.exit(1))
  const plan = await hearParent()
  try {
    await (role === 'guest' ? runGuest(context, plan as GuestPlan) : runHost(context, plan as HostPlan))
    await tellParent({ type: 'done', maxMemoryBytes: process.resourceUsage().maxRSS * 1024 })
  } catch (error) {
    const { code, message } = asFailure(error)
    await tellParent({ type: 'failed', code, message })
  }
}
