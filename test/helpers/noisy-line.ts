/**
 * What a bad serial line does to bytes, from a seed: bits that flip, bytes and blocks that are lost
 * or come twice, bytes that nobody sent.
 */
import { Transform, type TransformCallback } from 'node:stream'
import { Random } from '../sim/random.ts'

/** One thing that happens to a line. */
export type Noise = 'bit error' | 'lost byte' | 'lost block' | 'insertion' | 'double'

export const NOISES: readonly Noise[] = ['bit error', 'lost byte', 'lost block', 'insertion', 'double']

/** Blocks that an overrun loses, or a retransmission brings twice. */
const [MIN_BLOCK, MAX_BLOCK] = [16, 4096]
/** What a kernel says in between. */
const KERNEL = '\r\n[  812.004112] random: crng reseeded\r\n'

export interface NoisyLineOptions {
  readonly seed: number
  /** What may happen. @default all of it */
  readonly noises?: readonly Noise[]
  /** How many bytes pass unharmed, on average. */
  readonly everyBytes: number
}

/** Both ways of a noisy line. */
export class NoisyLine {
  /** Whether anything happens to it at present. */
  noisy = true
  /** How often each thing has happened. */
  readonly happened: Map<Noise, number> = new Map()
  readonly #random: Random
  readonly #noises: readonly Noise[]
  readonly #everyBytes: number

  constructor({ seed, noises = NOISES, everyBytes }: NoisyLineOptions) {
    this.#random = new Random(seed)
    this.#noises = noises
    this.#everyBytes = everyBytes
  }

  /** One way, for `ptyPair`. */
  readonly via = (): Transform => {
    const harm = this.#harmer()
    return new Transform({
      transform: (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) => {
        done(null, harm(chunk))
      },
    })
  }

  /** A way has its own count to its next harm, and what it still loses of a block. */
  #harmer(): (chunk: Buffer) => Buffer {
    let next = this.#distance()
    let losing = 0
    return (chunk) => {
      const out: Uint8Array[] = []
      let rest = chunk
      const pass = (bytes: number): void => {
        if (bytes > 0) out.push(rest.subarray(0, bytes))
        rest = rest.subarray(bytes)
      }
      while (rest.length > 0) {
        if (losing > 0) {
          const lost = Math.min(losing, rest.length)
          rest = rest.subarray(lost)
          losing -= lost
          continue
        }
        if (!this.noisy || next >= rest.length) {
          if (this.noisy) next -= rest.length
          pass(rest.length)
          break
        }
        pass(next)
        next = this.#distance()
        const noise = this.#random.pick(this.#noises)
        this.happened.set(noise, (this.happened.get(noise) ?? 0) + 1)
        if (noise === 'lost byte') losing = 1
        else if (noise === 'lost block') losing = this.#random.scale(MIN_BLOCK, MAX_BLOCK)
        else out.push(this.#changed(noise, rest))
        if (noise === 'bit error') rest = rest.subarray(1)
      }
      return Buffer.concat(out)
    }
  }

  /** What is put in before `rest`, or instead of its first byte. */
  #changed(noise: Noise, rest: Buffer): Uint8Array {
    if (noise === 'bit error') return Uint8Array.of((rest[0] ?? 0) ^ (1 << this.#random.integer(0, 7)))
    if (noise === 'double') return rest.subarray(0, this.#random.scale(1, MAX_BLOCK))
    if (this.#random.chance(0.5)) return Buffer.from(KERNEL)
    return Uint8Array.from({ length: this.#random.scale(1, 64) }, () => this.#random.integer(0, 255))
  }

  #distance(): number {
    return Math.floor(-Math.log(1 - this.#random.next()) * this.#everyBytes)
  }
}
