/**
 * Everybody who takes part. Those from npm are loaded by name: their packages are the benchmark's
 * own.
 */
import type { Contender } from '../contender.ts'
import { bare, bareWithNagle } from './bare.ts'

/** The limit, ourselves, and the peers. */
export async function contenders(): Promise<readonly Contender[]> {
  // by name as well: the package is installed here as a user has it
  const ours = (await import(new URL('./trunkline.js', import.meta.url).href)) as Record<string, Contender>
  const peers: Contender[] = []
  for (const file of ['node-streams', 'libp2p', 'protomux']) {
    const module = (await import(new URL(`../../contenders/${file}.mjs`, import.meta.url).href)) as Record<
      string,
      Contender
    >
    peers.push(...Object.values(module))
  }
  return [bare, bareWithNagle, ...Object.values(ours), ...peers]
}

/** The one of that name. */
export async function contenderOf(name: string | undefined): Promise<Contender> {
  const contender = (await contenders()).find((one) => one.name === name)
  if (contender === undefined) throw new Error(`no contender ${String(name)}`)
  return contender
}
