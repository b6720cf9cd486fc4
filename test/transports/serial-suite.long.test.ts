/**
 * The conformance suite over serial lines that are sockets; what they do besides is in
 * serial-socket.test.ts.
 */
import { join } from 'node:path'
import { serial } from '../../transports/serial.ts'
import { tcp } from '../../transports/tcp.ts'
import type { Link } from '../../src/contracts/types.ts'
import { transportConformance, type ConformanceOptions } from '../conformance/transport.ts'
import { firstOf } from '../conformance/transport-suite.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
let sockets = 0
const freshPath = (): string => join(folder, `${sockets++}.sock`)
const nowhere = () => serial({ path: join(folder, 'no-such-device') })

const NO_ENDS = 'a serial line cannot end one side alone'
const ONE_AT_A_TIME = 'a serial line has one link at a time'

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

transportConformance('serial+unix, connecting', nowhere, socketPair(false))
transportConformance('serial+unix, listening', nowhere, socketPair(true))
transportConformance('serial+tcp', nowhere, overTcp)
