/**
 * Many pipes over one line between a virtual machine and its host.
 *
 * @packageDocumentation
 * @example
 * ```ts
 * import { connect, serve } from 'trunkline'
 * import { filesystem, filesystemClient } from 'trunkline/protocols/filesystem'
 *
 * const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root: '.' })] })
 * const trunk = await connect(server.address)
 * const files = filesystemClient(trunk)
 * for await (const bytes of files.read('README.md')) process.stdout.write(bytes.subarray())
 * await trunk.close()
 * await server.close()
 * ```
 */
export { connect, overLink, serve } from './api/connect.ts'
export { defineProtocol } from './contracts/protocol.ts'
export {
  ERROR_CODES,
  TrunkError,
  type ErrorCode,
  type ErrorScope,
  type KnownCode,
  type TrunkErrorOptions,
} from './contracts/errors.ts'
export { createBudgets } from './runtime/budgets.ts'
export { DEFAULT_LIMITS, type Limits } from './contracts/limits.ts'
export { systemClock, type Clock, type Timer } from './runtime/clock.ts'
export type {
  Budgets,
  BudgetSizes,
  BudgetsStatus,
  BudgetStatus,
  Bytes,
  ConnectionStatus,
  ConnectOptions,
  DirectLink,
  DirectReceiver,
  Link,
  LinkOptions,
  Listener,
  OpenOptions,
  Pipe,
  PeerUse,
  PipeRequest,
  PipeStatus,
  Protocol,
  ProtocolDefinition,
  ReconnectingTrunk,
  Refusal,
  Server,
  ServeOptions,
  ServerStatus,
  Transport,
  TransportOptions,
  TransportTraits,
  Trunk,
  TrunkCounters,
  TrunkOptions,
  TrunkStatus,
  WaitsFor,
} from './contracts/types.ts'
