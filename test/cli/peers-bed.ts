/**
 * Two servers on unix sockets and a configuration that names them, for the tests of peers' names.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { serving, trunkline, type Outcome, type Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

export const home: string = temporaryFolder()
/** What each of the servers has. */
export const one: string = join(home, 'one')
export const two: string = join(home, 'two')
const config = join(home, '.config/trunkline/config.toml')
export const addressOf = (name: string): string => `unix://${join(home, name)}.sock`
export const env: Readonly<Record<string, string>> = { HOME: home, XDG_CONFIG_HOME: '' }

/** Runs a command with the configuration. */
export const tl = (...args: string[]): Promise<Outcome> => trunkline(args, { env })

export function configure(text: string, file: string = config): void {
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, text, { mode: 0o600 })
}

/** The configuration of both. */
export const TWO: string = `[peer.vm1]
to = "${addressOf('vm1')}"
forward = ["-L 0:127.0.0.1:9", "-D 0"]
[peer."vm*2"]
to = "unix://${home}/%n.sock"
token-file = "~/%n.token"
exec = { cwd = "${two}" }
`

/** Has both servers run while the tests of a file do. */
export function servePeers(): void {
  let servers: Serving[] = []
  before(async () => {
    for (const folder of [one, two]) mkdirSync(folder)
    writeFileSync(join(home, 'vm2.token'), 'a secret of more than 16 bytes\n')
    configure(TWO)
    const token = ['--token-file', join(home, 'vm2.token')]
    servers = await Promise.all([
      serving(['--fs', one, '--exec-named', 'vm2=/bin/echo named **'], addressOf('vm1')),
      serving(['--fs', two, '--exec', 'any', '--bench', ...token], addressOf('vm2')),
    ])
  })
  after(() => Promise.all(servers.map((server) => server.stop())))
}
