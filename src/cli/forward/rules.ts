/**
 * What `--connect` and `--listen` allow: rules of ports, and of unix sockets, which begin with
 * `unix:`.
 */
import type { Protocol } from '../../index.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { about } from '../failure.ts'

const SOCKET = 'unix:'

interface Rules {
  readonly ports: string[]
  readonly sockets: Uint8Array[]
}

function rulesOf(rules: readonly string[]): Rules {
  const isSocket = (rule: string): boolean => rule.startsWith(SOCKET)
  return {
    ports: rules.filter((rule) => !isSocket(rule)),
    sockets: rules.filter(isSocket).map((rule) => toBytes(byteString(rule.slice(SOCKET.length)))),
  }
}

/** What peers may have connected. Wrong usage for a bad rule. */
export async function connectionsBy(rules: readonly string[]): Promise<Protocol[]> {
  const { ports, sockets } = rulesOf(rules)
  const protocols: Protocol[] = []
  try {
    if (ports.length > 0) {
      const { tcpConnection } = await import('../../../protocols/tcp-connection.ts')
      protocols.push(tcpConnection({ allow: ports }))
    }
    if (sockets.length > 0) {
      const { unixConnection } = await import('../../../protocols/unix-connection.ts')
      protocols.push(unixConnection({ allow: sockets }))
    }
    return protocols
  } catch (error) {
    throw about('--connect', error)
  }
}

/** Where peers may listen. Wrong usage for a bad rule. */
export async function listenersBy(rules: readonly string[]): Promise<Protocol[]> {
  const { ports, sockets } = rulesOf(rules)
  const protocols: Protocol[] = []
  try {
    if (ports.length > 0) {
      const { tcpListener } = await import('../../../protocols/tcp-listener.ts')
      protocols.push(tcpListener({ allow: ports }))
    }
    if (sockets.length > 0) {
      const { unixListener } = await import('../../../protocols/unix-listener.ts')
      protocols.push(unixListener({ allow: sockets }))
    }
    return protocols
  } catch (error) {
    throw about('--listen', error)
  }
}
