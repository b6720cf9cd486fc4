/** What the demo's processes tell each other over Node's own channel between parent and child. */

import type { TreeFile } from './tree.ts'

/** From the demo to the guest: what to serve. */
export interface GuestPlan {
  readonly root: string
  readonly token: string
}

/** From the guest: it waits for peers, and serves a web page beside that. */
export interface GuestReady {
  readonly type: 'ready'
  readonly address: string
  readonly httpPort: number
}

/** From the demo to the host: whom to speak to, and where things are. */
export interface HostPlan {
  readonly address: string
  readonly httpPort: number
  readonly token: string
  /** The tree to copy. */
  readonly tree: string
  /** What is in it. */
  readonly files: readonly TreeFile[]
  /** Where its copy goes when it comes back. */
  readonly copy: string
}

/** From the host: one thing was done. */
export interface Step {
  readonly type: 'step'
  readonly what: string
  readonly amount: string
  readonly milliseconds?: number
  /** What the rate is of. */
  readonly bytes?: number
  readonly note?: string
}

/** From either: its end, good or bad. */
export type End =
  | { readonly type: 'done'; readonly maxMemoryBytes: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }

/** Everything a child says. */
export type ChildMessage = GuestReady | Step | End
