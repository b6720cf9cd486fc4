/** Commands: `exec` lets the peer run programs here, as far as a policy says; `execClient` runs them at the peer. */
export { exec } from './exec/server.ts'
export type { CommandEvent, ExecOptions } from './exec/server.ts'
export type { CommandRule } from './exec/policy.ts'
export { execClient } from './exec/client.ts'
export type { CommandOptions, ExecClient, RunOptions, RunResult, StartOptions } from './exec/client.ts'
export type { CommandOutput, Exit, RunningCommand } from './exec/client-command.ts'
