/**
 * Arguments and environment that came in a pipe of their own, until the start that they are for
 * asks for them.
 */
import { accountOf, holding } from '../../src/runtime/budgets.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { decodeCbor } from '../../src/core/cbor.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, PipeRequest } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { decodeSpec, MAX_SPEC_BYTES, type Spec } from './messages.ts'

/** Kept for one trunk at a time. */
const MAX_SPECS = 16
/** How long one is kept that no start asks for. */
const KEEP_MS = 10_000

interface Kept {
  readonly spec: Promise<Spec>
  /** Forgets it. */
  timer?: Timer
}

export class Specs {
  readonly #clock: Clock
  readonly #specs = new Map<string, Kept>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Reads one to its end and keeps it: the opener knows that by the pipe's confirmation. */
  async keep(request: PipeRequest, id: string): Promise<void> {
    if (this.#specs.size >= MAX_SPECS)
      throw new TrunkError('ERR_PROCESS_LIMIT', `at most ${MAX_SPECS} specs wait for their commands`)
    if (this.#specs.has(id)) throw new TrunkError('ERR_COMMAND_EXISTS', 'there is a spec of that id')
    const { transfers } = accountOf(request.trunk)
    const spec = holding(transfers, MAX_SPEC_BYTES, request, () => received(request.accept()))
    const kept: Kept = { spec }
    this.#specs.set(id, kept)
    try {
      await spec
      if (this.#specs.get(id) === kept) kept.timer = this.#clock.after(KEEP_MS, () => this.#specs.delete(id))
    } catch (error) {
      if (this.#specs.get(id) === kept) this.#specs.delete(id)
      throw error
    }
  }

  /** Takes it out; waits while it is under way. Throws ERR_PARAMS_INVALID where there is none. */
  async take(id: string): Promise<Spec> {
    const kept = this.#specs.get(id)
    if (kept === undefined) throw new TrunkError('ERR_PARAMS_INVALID', 'a start has argv, or a spec before it')
    this.#specs.delete(id)
    kept.timer?.cancel()
    return await kept.spec
  }
}

async function received(pipe: Pipe): Promise<Spec> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const data of pipe.source) {
    length += data.byteLength
    if (length > MAX_SPEC_BYTES)
      throw new TrunkError('ERR_ARGUMENTS_TOO_LARGE', `arguments and environment have at most ${MAX_SPEC_BYTES} bytes`)
    chunks.push(data.subarray())
  }
  return unwrap(decodeSpec(decodeCbor(Buffer.concat(chunks), 'ERR_MESSAGE_INVALID', 'the spec of a command')))
}
