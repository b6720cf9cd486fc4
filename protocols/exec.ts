/**
 * Commands: `exec` lets the peer run programs here, as far as a policy says; `execClient` runs them
 * at the peer.
 */
export { exec } from './exec/server.ts'
export type { CommandEvent, ExecOptions, ExecProtocol } from './exec/server.ts'
export type { ControlGroupOptions } from './exec/bounds.ts'
export type { LaunchLimits as CommandLimits } from './exec/launch.ts'
export type { CommandRule } from './exec/policy.ts'
export { execClient } from './exec/client.ts'
export type {
  CommandOptions,
  ExecClient,
  KeepOptions,
  RunOptions,
  RunResult,
  StartOptions,
  TerminalOptions,
} from './exec/client.ts'
export type { AttachedCommand, AttachOptions, CommandInfo, LogsOptions, OutputOffsets } from './exec/client-attach.ts'
export type { CommandOutput, CommandScope, Exit, RunningCommand } from './exec/client-command.ts'
