/** `trunkline ps`: the commands that the peer keeps. */
import type { Command } from 'commander'
import { execClient, type CommandInfo } from '../../../protocols/exec.ts'
import { printable, printableJson } from '../../runtime/printable.ts'
import type { Context } from '../context.ts'
import { formatDuration, formatTable } from '../format.ts'
import { addPeerArgument, addPeerOptions, withPeer, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

const HEAD = ['NAME', 'PID', 'STATE', 'AGE', 'COMMAND']

/** Adds the command. */
export function addPs(program: Command, context: Context): void {
  const command = program
    .command('ps', { hidden: true })
    .summary('list the commands that the peer keeps')
    .description('List the commands that the peer keeps: those that outlive their sessions.')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', '\nExample:\n  $ trunkline ps')
  const withArgument = addPeerOptions(addPeerArgument(command))
  withArgument.action(async (peer: string | undefined, options: PeerOptions & { json?: boolean }) => {
    const all = await withTrunk(context, withPeer(options, peer), (trunk) => execClient(trunk).list())
    if (options.json === true) {
      for (const info of all) await context.stdout.line(printableJson(info))
      return
    }
    for (const line of formatTable([HEAD, ...all.map(rowOf)], [1, 3])) await context.stdout.line(line)
  })
}

function rowOf(info: CommandInfo): string[] {
  const { id, name = id, pid, ageMs, argv } = info
  return [printable(name), String(pid), stateOf(info), formatDuration(ageMs), argv.map(printable).join(' ')]
}

function stateOf({ state, exit, controlled, watchers }: CommandInfo): string {
  if (state === 'exited')
    return exit?.code === null ? `ended by ${printable(exit.signal ?? '')}` : `exit ${exit?.code ?? '?'}`
  const seen = [...(controlled ? ['attached'] : []), ...(watchers > 0 ? [`${watchers} watch`] : [])]
  return seen.length === 0 ? 'running' : `running, ${seen.join(', ')}`
}
