/**
 * The conformance suite over serial lines that are sockets, and over a virtio port that is played;
 * what they do besides is in serial-*.test.ts.
 */
import { join } from 'node:path'
import { socketLink } from '../../transports/internal/socket-link.ts'
import { DeviceDuplex } from '../../transports/serial/device-duplex.ts'
import { serial } from '../../transports/serial.ts'
import { tcp } from '../../transports/tcp.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { transportConformance, type ConformanceOptions, type LinkPair } from '../conformance/transport.ts'
import { firstOf, MIB } from '../conformance/transport-suite.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { VirtioDouble } from '../helpers/virtio-double.ts'

const folder = temporaryFolder()
let sockets = 0
const freshPath = (): string => join(folder, `${sockets++}.sock`)
const nowhere = () => serial({ path: join(folder, 'no-such-device') })

const NO_ENDS = 'a serial line cannot end one side alone'
const ONE_AT_A_TIME = 'a serial line has one link at a time'
const NOT_TOLD = 'a serial line does not tell that its other end is gone'

/** Both ends of one line at once: who waits for the other does so. */
const both = async (near: Promise<Link>, far: Promise<Link>): Promise<{ near: Link; far: Link }> => {
  const [a, b] = await Promise.all([near, far])
  return { near: a, far: b }
}

/** Which end listens, and which of the two is `near`. */
function socketPair(nearListens: boolean): ConformanceOptions {
  return {
    async pair(given) {
      const socket = freshPath()
      const listener = await serial({ socket, listen: true }).listen(given)
      const [dialled, accepted] = [serial({ socket }).connect(given), firstOf(listener)]
      const ends = await (nearListens ? both(accepted, dialled) : both(dialled, accepted))
      return { ...ends, done: () => listener.close() }
    },
    skip: { listen: ONE_AT_A_TIME, 'half-close': NO_ENDS },
  }
}

const overTcp: ConformanceOptions = {
  async pair(given) {
    const listener = await tcp({ port: 0 }).listen(given)
    const dialled = serial(`serial+${listener.address}`).connect(given)
    // the far end is whoever has the device: here it goes by the rules of tcp
    const ends = await both(dialled, firstOf(listener))
    return { ...ends, done: () => listener.close() }
  },
  skip: { listen: ONE_AT_A_TIME, 'half-close': NO_ENDS, direct: 'the far end of this pair is no serial line' },
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

transportConformance('serial, over a virtio port (a double)', nowhere, double)
transportConformance('serial+unix, connecting', nowhere, socketPair(false))
transportConformance('serial+unix, listening', nowhere, socketPair(true))
transportConformance('serial+tcp', nowhere, overTcp)
