/**
 * What a contender of the benchmark gives: a server and a client over one TCP connection on
 * loopback, and streams between them. What the server does with a stream is the same for all; how a
 * stream is written and read is each contender's own, by its fastest documented way.
 */

/** One stream, on either side. */
export interface BenchStream {
  /** Writes `chunk` as long as `more` says so, honouring back-pressure, then ends its side. */
  send(chunk: Uint8Array, more: () => boolean): Promise<void>
  /** Reads to the end; `onChunk` gets what arrives. */
  read(onChunk: (bytes: Uint8Array) => void): Promise<void>
  /** Writes one small message, without ending. */
  write(chunk: Uint8Array): unknown
  /** Ends its side. */
  end(): unknown
}

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
  /** Hands each stream to `handle`, whose promise settles when the stream is over. */
  serve(handle: (stream: BenchStream) => Promise<void>): Promise<BenchServer>
  dial(port: number): Promise<BenchSession>
}
