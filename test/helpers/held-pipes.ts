/**
 * A protocol, `hold`, whose handler accepts at once and then does nothing until the test lets it
 * go.
 */
import { defineProtocol, type Pipe, type Protocol, type Trunk } from '../../src/index.ts'

/** One handler that waits. */
export interface HeldPipe {
  readonly pipe: Pipe
  /** Lets the handler return. */
  end(): void
  /** Lets the handler throw. */
  fail(error: Error): void
}

const pipes = new WeakMap<Trunk, Map<number, HeldPipe>>()

/** The protocol; `onOpen` is told of each open. */
export function waitingProtocol(onOpen: () => void = () => undefined): Protocol {
  return defineProtocol({
    name: 'hold',
    parse: (params) => params,
    async handle(request) {
      onOpen()
      const pipe = request.accept()
      await new Promise<void>((resolve, reject) => {
        const known = pipes.get(request.trunk) ?? new Map<number, HeldPipe>()
        known.set(pipe.id, { pipe, end: resolve, fail: reject })
        pipes.set(request.trunk, known)
      })
    },
  })
}

/** The handler of pipe `id`, which has started. */
export function held(trunk: Trunk, id: number): HeldPipe {
  const found = pipes.get(trunk)?.get(id)
  if (found === undefined) throw new Error(`pipe ${id} has no handler that waits`)
  return found
}
