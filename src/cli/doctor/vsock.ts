/**
 * AF_VSOCK: does the kernel have it, with the transport that the address needs, and which machine
 * are we?
 */
import { loadNative, nativeStatus } from '../../native/load.ts'
import { note, ok, problem, type Finding, type Findings } from './findings.ts'
import { hasModule, textAt, type Machine } from './machine.ts'

/** CIDs with a meaning of their own: ourselves, and the host. */
const LOCAL_CID = 1
const HOST_CID = 2

/** Everything about AF_VSOCK that can be told without connecting to `cid`. */
export async function* examineVsock(machine: Machine, cid: number): Findings {
  const status = nativeStatus()
  if ('problem' in status) {
    yield problem(
      'addon',
      status.problem,
      'Node alone cannot open vsock. Where there is no built addon for this machine, build it:',
      '  npm run build:native',
    )
    return false
  }
  yield ok('addon', 'the native addon loads')
  if (!hasFamily(machine)) {
    yield problem('family', 'the kernel has no AF_VSOCK', 'Load it, with what carries it here:', ...modprobe(cid))
    return false
  }
  yield ok('family', 'the kernel has AF_VSOCK')
  const carrier = examineCarrier(machine, cid)
  if (carrier !== undefined) yield carrier
  const own = ownCid()
  if (own === undefined) {
    yield note('cid', 'this machine does not tell its own CID: no vsock device answers')
  } else {
    yield own === HOST_CID && cid === HOST_CID
      ? problem(
          'cid',
          'this machine is the host (CID 2), and the address leads to the host',
          'Give the CID of the guest.',
        )
      : ok('cid', `this machine's CID is ${own}${own === HOST_CID ? ', that of a host' : ''}`, { cid: own })
  }
  return carrier?.level !== 'problem'
}

function hasFamily(machine: Machine): boolean {
  const protocols = textAt(machine, '/proc/net/protocols') ?? ''
  return protocols.split('\n').some((line) => /^(AF_)?VSOCK\s/i.test(line)) || hasModule(machine, 'vsock') === true
}

/** The part of the kernel that takes bytes to `cid`. */
function carrierOf(cid: number): string {
  if (cid === LOCAL_CID) return 'vsock_loopback'
  return cid === HOST_CID ? 'vmw_vsock_virtio_transport' : 'vhost_vsock'
}

function modprobe(cid: number): string[] {
  return [`  sudo modprobe ${carrierOf(cid)}`]
}

function examineCarrier(machine: Machine, cid: number): Finding | undefined {
  const name = carrierOf(cid)
  const where = cid === LOCAL_CID ? 'itself' : cid === HOST_CID ? 'its host' : 'its guests'
  const there = hasModule(machine, name)
  if (there === true) return ok('driver', `the kernel's way from this machine to ${where} is there (${name})`)
  // Other hypervisors have their own: a guest of VMware or Hyper-V is as good.
  const other = cid === HOST_CID && ['hv_sock', 'vmw_vsock_vmci_transport'].some((module) => hasModule(machine, module))
  if (there === undefined || other) return undefined
  const what = `the kernel's way from this machine to ${where} is missing (${name})`
  const device = '  -device vhost-vsock-pci,guest-cid=CID'
  return cid === HOST_CID
    ? problem('driver', what, ...modprobe(cid), 'and the machine needs the device; for QEMU:', device)
    : problem('driver', what, 'Load it:', ...modprobe(cid))
}

function ownCid(): number | undefined {
  try {
    return loadNative()?.localCid()
  } catch {
    return undefined // no device: that is the finding
  }
}
