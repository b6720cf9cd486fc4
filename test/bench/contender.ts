/**
 * What a contender of the benchmark gives: a server and a client over one TCP connection on loopback, and streams between them. The behaviours of the
 * server are the same for all; how a stream is written and read is each contender's own, by its fastest documented way.
 */

/** One stream, on either side. */
export interface BenchStream {
  /** Writes `chunk` `count` times honouring back-pressure, then ends its side. */
  send(chunk: Uint8Array, count: number): Promise<void>
  /** Reads to the end; `onChunk` gets what arrives. */
  read(onChunk: (bytes: Uint8Array) => void): Promise<void>
  /** Writes one small message, without ending. */
  write(chunk: Uint8Array): unknown
  /** Ends its side. */
  end(): unknown
}

/** What the server does with each stream. `sink` reads to the end, then ends; `echo` writes back what comes; `hold` does nothing. */
export type Behaviour = 'sink' | 'echo' | 'hold'

/** The client's side of a connection. */
export interface BenchSession {
  open(): Promise<BenchStream>
  close(): Promise<void>
}

/** A server that listens. */
export interface BenchServer {
  readonly port: number
  close(): Promise<void>
}

export interface Contender {
  readonly name: string
  serve(handle: (stream: BenchStream) => void): Promise<BenchServer>
  dial(port: number): Promise<BenchSession>
}

/** Plays a behaviour on one of the server's streams. */
export function behave(stream: BenchStream, behaviour: Behaviour): void {
  if (behaviour === 'hold') return
  const reading = stream.read((bytes) => {
    if (behaviour === 'echo') void stream.write(bytes)
  })
  reading.then(
    () => stream.end(),
    () => undefined, // the connection was cut: the round is over
  )
}
