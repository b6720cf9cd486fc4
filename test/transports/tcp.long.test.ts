/** The conformance suite over TCP to a name. */
import { tcp } from '../../transports/tcp.ts'
import { transportConformance } from '../conformance/transport.ts'
// a name is left to Node's server, as everything is where the addon is not there
transportConformance('tcp by a name', (address) => tcp(address ?? 'tcp://localhost:0'))
