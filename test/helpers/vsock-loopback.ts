/**
 * Whether AF_VSOCK reaches this machine itself: by CID 1, which needs a kernel module. test:vm
 * boots a guest that has it.
 */
import { nativeStatus } from '../../src/native/load.ts'

/** Why it does not, to be printed; undefined where it does. */
export function noVsockLoopback(): string | undefined {
  const status = nativeStatus()
  if ('problem' in status) return status.problem
  try {
    // only bound: where the loopback is missing, a connection to CID 1 would leave the machine
    status.native.close(status.native.listen({ family: 'vsock', address: '1', port: 0 }, 1))
    return undefined
  } catch (error) {
    return `no vsock loopback here (${(error as NodeJS.ErrnoException).code}; modprobe vsock_loopback); npm run test:vm has one`
  }
}
