/** What `-L` and `-R` are given: `[BIND:]PORT:HOST:PORT`, IPv6 addresses in brackets. */
import { InvalidArgumentError } from 'commander'
import { fromBrackets } from '../../runtime/host-port.ts'

/** One forward. */
export interface ForwardSpec {
  /** Where to listen; undefined for the default, which is loopback, {@link EVERYWHERE} for every address. */
  readonly bind: string | undefined
  /** 0 lets the system choose. */
  readonly port: number
  readonly host: string
  readonly hostPort: number
}

/** As ssh has it; nothing before the colon means the same. */
export const EVERYWHERE = '*'

const SPEC = /^(?:(\[[^\]]+\]|[^:[\]]*):)?(\d{1,5}):(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/
const MAX_PORT = 65_535

function withoutBrackets(host: string): string {
  return host.startsWith('[') ? fromBrackets(host.slice(1, -1)) : host
}

/** Parses one forward; wrong usage where it is none. */
export function parseForward(text: string): ForwardSpec {
  const [, bind, port = '', host = '', hostPort = ''] = SPEC.exec(text) ?? []
  if (host === '') throw new InvalidArgumentError('It is written [BIND:]PORT:HOST:PORT.')
  const spec = {
    bind: bind === undefined ? undefined : withoutBrackets(bind === '' ? EVERYWHERE : bind),
    port: Number(port),
    host: withoutBrackets(host),
    hostPort: Number(hostPort),
  }
  if (spec.port > MAX_PORT) throw new InvalidArgumentError(`The port ${port} is above ${MAX_PORT}.`)
  if (spec.hostPort < 1 || spec.hostPort > MAX_PORT) {
    throw new InvalidArgumentError(`The port ${hostPort} is not one of 1 to ${MAX_PORT}.`)
  }
  return spec
}
