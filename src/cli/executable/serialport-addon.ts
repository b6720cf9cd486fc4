/**
 * Stands in for the package node-gyp-build in the executable, where nobody but serialport asks it
 * for an addon.
 */
import { loadEmbedded } from './embedded-addon.ts'

/** What serialport's addon exports. */
export default function load(): unknown {
  return loadEmbedded('serialport.node')
}
