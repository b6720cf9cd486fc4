/** Compile-only: `tsc --noEmit` is the test. What may be written compiles, and each `@ts-expect-error` has to be an error. */
import { describe, it } from 'node:test'
import { pipe } from 'it-pipe'
import type { Duplex, Sink, Source } from 'it-stream-types'
import type { Uint8ArrayList } from 'uint8arraylist'
import {
  connect,
  defineProtocol,
  overLink,
  serve,
  TrunkError,
  type Bytes,
  type ConnectOptions,
  type ConnectionStatus,
  type ErrorCode,
  type Limits,
  type Link,
  type LinkOptions,
  type Pipe,
  type Protocol,
  type ReconnectingTrunk,
  type ServeOptions,
  type Server,
  type Transport,
  type TransportTraits,
  type Trunk,
  type TrunkCounters,
  type TrunkOptions,
  type WaitsFor,
} from '../../src/index.ts'

/** Never called. */
export async function trunks(transport: Transport, link: Link, trunk: Trunk): Promise<void> {
  const options: TrunkOptions = { limits: { maxPipes: 7 }, token: new Uint8Array(16), protocols: [], name: 'me' }
  const dialled: Trunk = await connect('tcp://127.0.0.1:1', options)
  await connect(transport)
  const server: Server = await serve('unix:///x', { onPipeError: ({ code }: { code: ErrorCode }) => ({ code }) })
  for await (const one of server) await one.close()
  await overLink(link, { role: 'serve' })
  await using disposed = dialled
  const ms: number = await disposed.ping({ signal: new AbortController().signal })
  const waits: WaitsFor[] = trunk.status().pipes.map(({ waitsFor }) => waitsFor)
  const { lateFrames, staleCredits, refusedOpens, strayPongs, skippedFrames }: TrunkCounters = trunk.status().counters
  const tolerated: number = lateFrames + staleCredits + refusedOpens + strayPongs + skippedFrames
  // @ts-expect-error a counter that does not exist
  console.log(trunk.status().counters.lateFrame, tolerated)
  const limits: Partial<Limits> = { keepaliveMs: ms + waits.length }
  // @ts-expect-error no such limit
  await connect('x:', { limits: { nonsense: 1 } })
  // @ts-expect-error a role is one of two
  await overLink(link, { role: 'both', limits })
  // @ts-expect-error closed is for reading
  trunk.closed = Promise.resolve()
}

/** Never called. */
export async function options(link: Link, traits: TransportTraits, common: TrunkOptions): Promise<void> {
  const dialling: ConnectOptions = { ...common, retry: true, onConnection: () => undefined, transports: {} }
  const serving: ServeOptions = { ...common, onSessionError: () => undefined, transports: {} }
  const linked: LinkOptions = { ...common, role: 'serve', traits }
  await Promise.all([connect('x:', dialling), serve('x:', serving), overLink(link, linked)])
  await Promise.all([connect('x:', common), serve('x:', common), overLink(link, common)])
  // @ts-expect-error a trunk that waits for its first session has no further ones to watch
  const waited: ReconnectingTrunk = await connect('x:', { retry: true })
  await waited.close()
  // @ts-expect-error only overLink is told its side
  await connect('x:', { role: 'serve' })
  // @ts-expect-error a transport has its traits
  await connect('x:', { traits })
  // @ts-expect-error only serve rejects links
  await connect('x:', { onSessionError: () => undefined })
  // @ts-expect-error a server does not dial
  await serve('x:', { reconnect: true })
  // @ts-expect-error a server waits for its peers anyhow
  await serve('x:', { retry: true })
  // @ts-expect-error a server has no connection of its own
  await serve('x:', { onConnection: () => undefined })
  // @ts-expect-error a link cannot be dialled again
  await overLink(link, { reconnect: true })
  // @ts-expect-error a link has no address
  await overLink(link, { transports: {} })
  // @ts-expect-error also in a variable: the options of connect
  await serve('x:', dialling)
  // @ts-expect-error also in a variable: the options of serve
  await overLink(link, serving)
  // @ts-expect-error also in a variable: the options of overLink
  await connect('x:', linked)
}

/** Never called. */
export async function reconnecting(options: ConnectOptions): Promise<void> {
  const trunk: ReconnectingTrunk = await connect('x:', {
    reconnect: true,
    onConnection: (status: ConnectionStatus) => status.retryInMs,
  })
  for await (const { state, attempt, sessions, error } of trunk.watch()) {
    const known: 'connecting' | 'resuming' | 'open' | 'waiting' | 'closed' = state
    const code: ErrorCode | undefined = error?.code
    const count: number = attempt + sessions + known.length + (code ?? '').length
    if (count > 0) break
  }
  const plain: Trunk = trunk
  // @ts-expect-error a connection is for reading
  trunk.connection = plain.status()
  // @ts-expect-error known at run time only: a trunk of one session is what it surely is
  const either: ReconnectingTrunk = await connect('x:', options)
  // @ts-expect-error without the option there is nothing to watch
  const neither: ReconnectingTrunk = await connect('x:', { reconnect: false })
  await Promise.all([either.close(), neither.close()])
}

/** Never called. */
export async function pipes(trunk: Trunk): Promise<void> {
  const opened = await trunk.open('x', { any: 'value' }, { body: new Uint8Array(1), version: 2 })
  const duplex: Duplex<AsyncGenerator<Uint8ArrayList>, Source<Bytes>, Promise<void>> = opened
  const sink: Sink<Source<Bytes>, Promise<void>> = opened.sink
  const bytes: number = await pipe([new Uint8Array(1)], opened, async (source) => {
    let total = 0
    for await (const chunk of source) total += chunk.byteLength
    return total
  })
  await pipe(opened, opened.sink)
  await opened.write(opened.source instanceof Object ? new Uint8Array(bytes) : Buffer.from('x'))
  opened.stopReading('ERR_QUOTA')
  opened.stopReading('MY_OWN_CODE')
  opened.abort(new TrunkError('MY_OWN_CODE', 'why', { cause: duplex }))
  await sink([])
  // @ts-expect-error bytes, not text
  await opened.write('text')
  // @ts-expect-error a reply is unknown until it was checked
  const reply: string = opened.reply
  // @ts-expect-error an id is for reading
  opened.id = reply.length
  // @ts-expect-error early data are bytes in one piece
  await trunk.open('x', undefined, { early: 'text' })
  // @ts-expect-error a body is all there is: it needs no end
  await trunk.open('x', undefined, { body: new Uint8Array(0), end: true })
  for await (const item of opened) await opened.write(item satisfies Uint8ArrayList)
}

/** Never called. */
export function protocols(trunk: Trunk): void {
  const typed: Protocol = defineProtocol({
    name: 'typed',
    parse: (params: unknown): { path: string } => ({ path: String(params) }),
    async handle({ params, accept, signal, trunk: back }) {
      const path: string = params.path
      // @ts-expect-error only what parse gives
      const other = params.other as number
      const accepted: Pipe = accept({ path, other })
      signal.throwIfAborted()
      await back.ping()
      await accepted.close()
    },
  })
  trunk.handle(typed)
  // @ts-expect-error a handler is a must
  defineProtocol({ name: 'x', parse: () => 1 })
}

describe('public types', () => {
  it('compile as they are used', () => undefined)
})
