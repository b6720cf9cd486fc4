/** The two ends of one pipe, over memory: for tests of what is built on pipes. */
import type { OpenOptions, Pipe } from '../../src/index.ts'
import { manual, type Taken } from './protocols.ts'
import { trunkPair } from './trunk-pair.ts'

/** See {@link pipeEnds}. */
export interface PipeEnds {
  readonly pipe: Pipe
  /** The accepted end. */
  readonly peer: Pipe
  readonly taken: Taken
  /** Ends the peer's handler and both trunks. */
  close(): Promise<void>
}

/** Opens one pipe with these options. */
export async function pipeEnds(options: OpenOptions = {}): Promise<PipeEnds> {
  const test = manual()
  const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
  const pipe = await near.open('manual', undefined, options)
  const taken = await test.next()
  return {
    pipe,
    peer: taken.pipe,
    taken,
    async close() {
      taken.finish()
      await Promise.all([near.close(), far.close()])
    },
  }
}

/** Everything up to the end, as text. */
export async function textOf(source: AsyncIterable<{ subarray(): Uint8Array }>): Promise<string> {
  let whole = ''
  for await (const chunk of source) whole += Buffer.from(chunk.subarray()).toString()
  return whole
}
