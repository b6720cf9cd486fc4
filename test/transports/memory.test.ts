import { memory } from '../../transports/memory.ts'
import { transportConformance } from '../conformance/transport.ts'

let names = 0
transportConformance('memory', (address) => memory(address ?? `memory:test-${names++}`), { maxUnreadBytes: 512 * 1024 })
