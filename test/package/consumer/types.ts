/**
 * What a user's type checker sees; nothing of it is run. Checked by packed.test.ts against the
 * packed types.
 */
import {
  connect,
  defineProtocol,
  overLink,
  serve,
  TrunkError,
  type ErrorCode,
  type Link,
  type Pipe,
  type Protocol,
  type Server,
  type Transport,
  type Trunk,
  type TrunkStatus,
} from 'trunkline'
import { filesystem, filesystemClient } from 'trunkline/protocols/filesystem'
import { tcpConnect, tcpConnection } from 'trunkline/protocols/tcp-connection'
import { tcpListen, tcpListener } from 'trunkline/protocols/tcp-listener'
import { tcp } from 'trunkline/transports/tcp'

export const add: Protocol = defineProtocol({
  name: 'add',
  parse(params): { a: number; b: number } {
    return params as { a: number; b: number }
  },
  async handle({ params, accept, signal, trunk }) {
    const sum: number = params.a + params.b
    // @ts-expect-error: params has the type that parse returns
    console.log(params.c)
    signal.throwIfAborted()
    await trunk.ping()
    const pipe: Pipe = accept({ sum })
    for await (const bytes of pipe.source) await pipe.write(bytes)
  },
})

export async function host(link: Link, transport: Transport): Promise<void> {
  const server: Server = await serve(tcp('tcp://127.0.0.1:0'), {
    protocols: [add, filesystem({ root: '/srv' }), tcpConnection({ allow: [] }), tcpListener({ allow: [] })],
    limits: { maxPipes: 10 },
  })
  for await (const trunk of server) {
    const status: TrunkStatus = trunk.status()
    console.log(status.peer.name, status.pipes.length)
  }
  const trunks: Trunk[] = [await overLink(link), await connect(transport)]
  for (const trunk of trunks) await trunk.close()
  // @ts-expect-error: a limit that does not exist
  await connect(transport, { limits: { maxPies: 10 } })
}

export async function guest(trunk: Trunk): Promise<ErrorCode | undefined> {
  try {
    for await (const bytes of filesystemClient(trunk).read('a')) console.log(bytes.byteLength)
    const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: 1 })
    await pipe.close()
    for await (const connection of await tcpListen(trunk, { host: '127.0.0.1', port: 0 })) await connection.close()
    // @ts-expect-error: a trunk opens pipes by name
    await trunk.open(42)
    return undefined
  } catch (error) {
    return error instanceof TrunkError ? error.code : undefined
  }
}
