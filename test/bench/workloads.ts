/** What is measured: each workload runs on a session of its own and gives a rate (more is better) or a time (less is better). */
import { performance } from 'node:perf_hooks'
import type { BenchSession, Behaviour } from './contender.ts'

export interface Workload {
  readonly name: string
  readonly behaviour: Behaviour
  readonly unit: 'MiB/s' | 'us' | '1/s'
  readonly run: (session: BenchSession, scale: number) => Promise<number>
  /** A bare socket has no streams of its own: it carries the same bytes over one connection. */
  readonly runBare?: (session: BenchSession, scale: number) => Promise<number>
}

const MIB = 1024 * 1024

/** `bytes` over `pipes` streams at once. */
async function bulk(session: BenchSession, pipes: number, chunkBytes: number, bytes: number): Promise<number> {
  const chunk = new Uint8Array(chunkBytes)
  const streams = await Promise.all(Array.from({ length: pipes }, () => session.open()))
  const count = Math.ceil(bytes / chunkBytes / pipes)
  const started = performance.now()
  await Promise.all(streams.map((stream) => Promise.all([stream.send(chunk, count), stream.read(() => undefined)])))
  return (pipes * count * chunkBytes) / MIB / ((performance.now() - started) / 1000)
}

/** The median round trip of one message at a time, in microseconds. */
async function pingPong(session: BenchSession, rounds: number): Promise<number> {
  const stream = await session.open()
  const message = new Uint8Array(64)
  const times: number[] = []
  let got = 0
  let sentAt = 0
  await new Promise<void>((resolve, reject) => {
    const send = (): void => {
      sentAt = performance.now()
      void stream.write(message)
    }
    stream
      .read((bytes) => {
        got += bytes.byteLength
        if (got < message.byteLength) return
        got = 0
        times.push((performance.now() - sentAt) * 1000)
        if (times.length < rounds) send()
        else {
          void stream.end()
          resolve()
        }
      })
      .catch(reject)
    send()
  })
  return median(times.slice(times.length / 10))
}

/** Open, one byte there and back, close both ways; `width` at a time. */
async function openClose(session: BenchSession, width: number, total: number): Promise<number> {
  const byte = new Uint8Array(1)
  const once = async (): Promise<void> => {
    const stream = await session.open()
    const reading = stream.read(() => undefined)
    await stream.send(byte, 1)
    await reading
  }
  const started = performance.now()
  let left = total
  const worker = async (): Promise<void> => {
    while (left-- > 0) await once()
  }
  await Promise.all(Array.from({ length: width }, worker))
  return total / ((performance.now() - started) / 1000)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'bulk, 1 pipe, 64 KiB writes',
    behaviour: 'sink',
    unit: 'MiB/s',
    run: (session, scale) => bulk(session, 1, 65_536, 512 * MIB * scale),
  },
  {
    name: 'bulk, 100 pipes, 64 KiB writes',
    behaviour: 'sink',
    unit: 'MiB/s',
    run: (session, scale) => bulk(session, 100, 65_536, 512 * MIB * scale),
    runBare: (session, scale) => bulk(session, 1, 65_536, 512 * MIB * scale),
  },
  {
    name: '64-byte writes, 1 pipe',
    behaviour: 'sink',
    unit: 'MiB/s',
    run: (session, scale) => bulk(session, 1, 64, 16 * MIB * scale),
    runBare: (session, scale) => bulk(session, 1, 64, 4 * MIB * scale),
  },
  {
    name: 'ping-pong, 64 bytes, median',
    behaviour: 'echo',
    unit: 'us',
    run: (session, scale) => pingPong(session, 20_000 * scale),
  },
  {
    name: 'open, 1 byte, close; 100 at a time',
    behaviour: 'echo',
    unit: '1/s',
    run: (session, scale) => openClose(session, 100, 40_000 * scale),
    runBare: (session, scale) => openClose(session, 100, 8_000 * scale),
  },
  {
    name: 'open, 1 byte, close; one at a time',
    behaviour: 'echo',
    unit: '1/s',
    run: (session, scale) => openClose(session, 1, 8_000 * scale),
    runBare: (session, scale) => openClose(session, 1, 4_000 * scale),
  },
]
