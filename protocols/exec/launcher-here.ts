/** Which way to start programs this machine has: the keeper where it runs, else Node's spawn. */
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import type { Launcher } from './launch.ts'
import { spawnLauncher } from './launch-spawn.ts'
import { keeperLauncher } from './keeper/launch-keeper.ts'

/** The best one. `tree` in each reply tells which it was. */
export function launcherHere(clock: Clock = systemClock): Launcher {
  return keeperLauncher() ?? spawnLauncher(clock)
}
