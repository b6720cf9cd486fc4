/** Processes that are stopped for a while and then go on, as those of a machine that is paused. */
import type { ChildProgram } from './child-program.ts'

/**
 * Stops them all, and lets them go on after `ms`. `meanwhile` runs in between, and is waited for.
 */
export async function paused(
  programs: readonly ChildProgram[],
  ms: number,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const program of programs) program.kill('SIGSTOP')
  try {
    await Promise.all([new Promise((resolve) => setTimeout(resolve, ms)), meanwhile()])
  } finally {
    for (const program of programs) program.kill('SIGCONT')
  }
}
