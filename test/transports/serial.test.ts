/**
 * The conformance suite over a serial line that is a device (serial-suite.long.test.ts: the
 * others); what each kind does besides is in serial-*.test.ts.
 */
import { join } from 'node:path'
import { serial } from '../../transports/serial.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { transportConformance, type ConformanceOptions, type LinkPair } from '../conformance/transport.ts'
import { MIB } from '../conformance/transport-suite.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

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

transportConformance('serial, over a pseudo-terminal [R-117]', nowhere, pty)
