/**
 * The links of a server that have proved nothing yet. Promises: at most `max` at a time, whoever
 * they are; when one more comes, the oldest of whoever has the most of them goes, so that neither
 * one address with many links nor many links that say nothing keep out whoever says hello in the
 * usual time.
 */

/** A link that is in its hello. */
interface Stranger {
  readonly group: string
  /** Cuts the link. */
  readonly cut: () => void
}

/** The hexadecimal groups of an IPv6 address that one subscriber is given. */
const PREFIX_GROUPS = 4

/**
 * Whoever is behind a peer's address: the address without its port, the first 64 bits of one of
 * IPv6 (a subscriber has as many addresses as he likes below them); the empty string where a line
 * has no addresses.
 */
export function addressGroup(peer: string): string {
  const port = peer.lastIndexOf(':')
  const host = port < 0 ? peer : peer.slice(0, port)
  if (!host.startsWith('[')) return host
  const [address = ''] = host.slice(1).split(/[\]%]/)
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
  return groups
    .slice(0, PREFIX_GROUPS)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}

/**
 * The same for what trunks share: the empty string also where the line has no addresses with ports
 * (paths, devices, commands), by which one of its peers could be told from another.
 */
export function peerGroup(peer: string): string {
  return /^[^/@].*:\d+$/.test(peer) ? addressGroup(peer) : ''
}

export class Strangers {
  readonly max: number
  /** By whoever is behind them, each in the order in which they came. */
  readonly #groups = new Map<string, Set<Stranger>>()
  #count = 0
  #cut = 0

  constructor(max: number) {
    this.max = max
  }

  get count(): number {
    return this.#count
  }

  /** Those that had to go for another one. */
  get cut(): number {
    return this.#cut
  }

  /** One more; the result takes it out again. May call the `cut` of another one. */
  add(peer: string, cut: () => void): () => void {
    if (this.#count >= this.max) this.#makeRoom()
    const stranger: Stranger = { group: addressGroup(peer), cut }
    const group = this.#groups.get(stranger.group)
    if (group === undefined) this.#groups.set(stranger.group, new Set([stranger]))
    else group.add(stranger)
    this.#count++
    return () => {
      this.#remove(stranger)
    }
  }

  #makeRoom(): void {
    let most: Set<Stranger> | undefined
    for (const group of this.#groups.values()) if (most === undefined || group.size > most.size) most = group
    const [oldest] = most ?? []
    if (oldest === undefined) return
    this.#remove(oldest)
    this.#cut++
    oldest.cut()
  }

  #remove(stranger: Stranger): void {
    const group = this.#groups.get(stranger.group)
    if (group?.delete(stranger) !== true) return
    this.#count--
    if (group.size === 0) this.#groups.delete(stranger.group)
  }
}
