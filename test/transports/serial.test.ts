/**
 * The conformance suite over serial lines that are devices (serial-suite.long.test.ts: sockets);
 * what each kind does besides is in serial-*.test.ts.
 */
import { join } from 'node:path'
import { DeviceDuplex } from '../../transports/serial/device-duplex.ts'
import { serial } from '../../transports/serial.ts'
import { socketLink } from '../../transports/internal/socket-link.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { transportConformance, type ConformanceOptions, type LinkPair } from '../conformance/transport.ts'
import { MIB } from '../conformance/transport-suite.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { VirtioDouble } from '../helpers/virtio-double.ts'

const folder = temporaryFolder()
const nowhere = () => serial({ path: join(folder, 'no-such-device') })

const NO_ENDS = 'a serial line cannot end one side alone'
const ONE_AT_A_TIME = 'a serial line has one link at a time'
const NOT_TOLD = 'a serial line does not tell that its other end is gone'

/** Both ends of one line at once: who waits for the other does so. */
const both = async (near: Promise<Link>, far: Promise<Link>): Promise<{ near: Link; far: Link }> => {
  const [a, b] = await Promise.all([near, far])
  return { near: a, far: b }
}

const pty: ConformanceOptions = {
  async pair(given: TransportOptions): Promise<LinkPair> {
    const line = await ptyPair()
    const ends = await both(serial({ path: line.near }).connect(given), serial(`serial://${line.far}`).connect(given))
    return { ...ends, done: () => line.close() }
  },
  skip: { listen: ONE_AT_A_TIME, 'half-close': NO_ENDS, 'abort is seen': NOT_TOLD },
  maxUnreadBytes: 2 * MIB,
}

const double: ConformanceOptions = {
  async pair({ clock, limits }: TransportOptions): Promise<LinkPair> {
    // what it queues is in this process, and would be taken for the link's
    const device = new VirtioDouble(256 * 1024)
    const link = (stream: DeviceDuplex | ReturnType<VirtioDouble['connectHost']>): Link =>
      socketLink({ readable: stream, writable: stream, clock, closeTimeoutMs: limits.closeTimeoutMs, halfClose: false })
    const near = link(new DeviceDuplex(device.open, clock))
    return { near, far: link(device.connectHost()), done: () => Promise.resolve() }
  },
  skip: { listen: ONE_AT_A_TIME, 'half-close': NO_ENDS, 'abort is seen': NOT_TOLD },
  maxUnreadBytes: 2 * MIB,
}

transportConformance('serial, over a pseudo-terminal [R-117]', nowhere, pty)
transportConformance('serial, over a virtio port (a double)', nowhere, double)
