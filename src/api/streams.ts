/**
 * Pipes as the streams of Node and of the web, and readers of text. Every promise is that of the
 * pipe: back-pressure in bytes, an end that is the peer's, errors with codes.
 *
 * @packageDocumentation
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { connect } from 'trunkline'
 * import { lines, toNode } from 'trunkline/streams'
 *
 * const trunk = await connect('tcp://127.0.0.1:7000')
 * const pipe = await trunk.open('upload')
 * await pipeline(createReadStream('data.bin'), toNode(pipe))
 * await pipe.close() // the peer's handler has taken all of it
 * for await (const line of lines(await trunk.open('journal'))) console.log(line)
 * ```
 */
export { toNode, type NodeStreamOptions } from './streams/node.ts'
export { toWeb, type WebStreamOptions, type WebStreams } from './streams/web.ts'
export { json, lines, text, type LinesOptions, type TextOptions } from './streams/consumers.ts'
