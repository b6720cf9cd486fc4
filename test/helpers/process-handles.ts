/**
 * What this process holds open: counted before and after, so that a test can tell that nothing was
 * left.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { eventually } from './eventually.ts'

/** Kinds that come and go by themselves, or belong to the test runner. */
const PASSING = new Set(['Immediate', 'TickObject', 'FSReqCallback', 'FSReqPromise', 'Timeout'])

/** A count of handles and descriptors. */
export interface HandleCount {
  /** `ProcessWrap,TCPSocketWrap,TCPSocketWrap`: sorted. */
  readonly handles: string
  /** Open descriptors; 0 where /proc is missing. */
  readonly descriptors: number
}

/** Counts now. */
export function countHandles(): HandleCount {
  const handles = process.getActiveResourcesInfo().filter((kind) => !PASSING.has(kind))
  return { handles: handles.sort().join(), descriptors: countDescriptors() }
}

/** Resolves when no more is held than `before`; rejects with what is left. */
export async function nothingLeft(before: HandleCount): Promise<void> {
  const same = (): boolean => {
    const now = countHandles()
    return isWithin(now.handles, before.handles) && now.descriptors <= before.descriptors
  }
  await eventually(same, 'the handles of before', 3_000).catch(() => {
    assert.deepEqual(countHandles(), before)
  })
}

/**
 * True where each kind of handle in `now` is there no more often than in `before`, which may have
 * held what was just closing.
 */
export function isWithin(now: string, before: string): boolean {
  const count = (list: string, kind: string): number => list.split(',').filter((name) => name === kind).length
  return now.split(',').every((kind) => kind === '' || count(now, kind) <= count(before, kind))
}

function countDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    // No /proc on this system: the handles alone tell.
    return 0
  }
}
