/**
 * The protocol `bench`: how many bytes a second the line carries, either way and both ways at once.
 * docs/guide/protocols/bench.md.
 *
 * Promises: a rate is that of bytes which have reached their reader, never of bytes that were only
 * handed to the line; a measurement ends with its bytes or its time, whatever comes first, on a
 * line that stands still, too. The serving side touches nothing but the line, and holds one chunk.
 */
export {
  benchClient,
  type BenchClient,
  type BenchClientOptions,
  type BenchRequest,
  type BenchResult,
} from './bench/client.ts'
export { bench, type BenchOptions } from './bench/server.ts'
export type { BenchDirection } from './bench/messages.ts'
