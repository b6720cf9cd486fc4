/**
 * The schemes that a string address may have, each loaded when it is first used: importing
 * trunkline loads no transport. This table is the only place that knows all of them.
 */
import type { Transport } from '../contracts/types.ts'

/** Makes the transport for an address of its scheme; throws ERR_ADDRESS_INVALID. */
export type TransportFactory = (address: string) => Transport

/** Scheme (without the colon) to the loader of its factory. */
export const SCHEMES: Readonly<Record<string, () => Promise<TransportFactory>>> = {
  __proto__: null as never,
  tcp: async () => (await import('../../transports/tcp.ts')).tcp,
  unix: async () => (await import('../../transports/unix.ts')).unix,
  stdio: async () => (await import('../../transports/stdio.ts')).stdio,
  exec: async () => (await import('../../transports/stdio.ts')).exec,
  vsock: async () => (await import('../../transports/vsock.ts')).vsock,
  'vsock+unix': async () => (await import('../../transports/vsock.ts')).hybridVsock,
  serial: async () => (await import('../../transports/serial.ts')).serial,
  'serial+unix': async () => (await import('../../transports/serial.ts')).serial,
  'serial+tcp': async () => (await import('../../transports/serial.ts')).serial,
  'serial+exec': async () => (await import('../../transports/serial.ts')).serial,
  memory: async () => (await import('../../transports/memory.ts')).memory,
}
