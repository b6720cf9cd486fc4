/**
 * An address, taken apart for the checks. Assumes an address that its transport has accepted: what
 * is no address was refused before.
 */

import { splitHostPort } from '../../runtime/host-port.ts'

/** What is to be looked at before the line is opened. */
export type Target =
  | { readonly type: 'device'; readonly path: string; readonly baud: number }
  | {
      readonly type: 'socket'
      readonly path: string
      readonly kind: 'trunkline' | 'qemu' | 'hybrid'
      readonly listens: boolean
    }
  | { readonly type: 'vsock'; readonly cid: number; readonly port: number }
  | { readonly type: 'tcp'; readonly host: string; readonly listens: boolean }
  | { readonly type: 'other' }

/** What transports/serial.ts sets where the address says nothing. */
const DEFAULT_BAUD = 115_200
/** CIDs that have a word. */
const CIDS: Readonly<Record<string, number>> = { hypervisor: 0, local: 1, host: 2 }

/** The target of `address`. */
export function targetOf(address: string): Target {
  const scheme = address.slice(0, address.indexOf(':')).toLowerCase()
  const rest = address.slice(scheme.length + 1).replace(/^\/\//, '')
  const [encoded = '', query = ''] = rest.split('?')
  const path = decodeURIComponent(encoded)
  const options = new URLSearchParams(query)
  switch (scheme) {
    case 'serial': {
      return { type: 'device', path, baud: Number(options.get('baud') ?? DEFAULT_BAUD) }
    }
    case 'unix':
      return { type: 'socket', path, kind: 'trunkline', listens: false }
    case 'serial+unix':
      return { type: 'socket', path, kind: 'qemu', listens: options.has('listen') }
    case 'vsock+unix':
      return { type: 'socket', path, kind: 'hybrid', listens: false }
    case 'vsock': {
      const [cid = '', port = ''] = rest.split(':')
      return { type: 'vsock', cid: CIDS[cid] ?? Number(cid), port: Number(port) }
    }
    case 'tcp':
    case 'serial+tcp':
      return {
        type: 'tcp',
        host: splitHostPort(encoded)?.host ?? encoded,
        listens: options.has('listen'),
      }
    default:
      return { type: 'other' }
  }
}
