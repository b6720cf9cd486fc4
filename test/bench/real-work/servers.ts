/**
 * The servers of the run: OpenSSH with keys of its own, rsync's daemon, trunkline and nginx, all on
 * loopback, with their files in one temporary folder.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { BINARY } from '../../helpers/command-line.ts'
import { freePort } from '../../helpers/loopback.ts'
import { installed } from '../../helpers/installed.ts'
import { daemon, type Daemon } from './daemon.ts'

/** Where Debian's libnginx-mod-stream puts it. */
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** A server and the port or address that it is reached at. */
export interface Reached<At> {
  readonly server: Daemon
  readonly at: At
}

/** How the OpenSSH clients are called. */
export interface SshAccess {
  readonly port: number
  /** Options that every OpenSSH client takes, but for the port. */
  readonly options: readonly string[]
  readonly host: string
}

/** OpenSSH's server with a new host key and one user key; ciphers as the package has them. */
export async function startSsh(folder: string): Promise<Reached<SshAccess>> {
  const { sshd, 'ssh-keygen': keygen } = installed({ sshd: 'openssh-server', 'ssh-keygen': 'openssh-client' })
  const [hostKey, userKey] = [join(folder, 'host-key'), join(folder, 'user-key')]
  for (const key of [hostKey, userKey]) execFileSync(keygen, ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  const port = await freePort()
  const config = join(folder, 'sshd_config')
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${userKey}.pub`,
    'PidFile none',
    'UsePAM no',
    // the folder is below one that everybody may write to
    'StrictModes no',
    'PasswordAuthentication no',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  // Debian's service makes it; without it sshd does not start for root.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true })
  const server = await daemon([sshd, '-D', '-e', '-f', config], port)
  const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes']
  const options = ['-F', 'none', '-i', userKey, ...settings.flatMap((setting) => ['-o', setting])]
  return { server, at: { port, options, host: `${userInfo().username}@127.0.0.1` } }
}

/** rsync's own daemon: no encryption, one module named `all` that is `root`. */
export async function startRsync(folder: string, root: string): Promise<Reached<string>> {
  const { rsync } = installed({ rsync: 'rsync' })
  const port = await freePort()
  const config = join(folder, 'rsyncd.conf')
  const { uid, gid } = userInfo()
  const asUser = uid === 0 ? [`uid = ${uid}`, `gid = ${gid}`] : []
  const lines = ['use chroot = no', 'address = 127.0.0.1', ...asUser, '[all]', `path = ${root}`, 'read only = no']
  writeFileSync(config, `${lines.join('\n')}\n`)
  const server = await daemon([rsync, '--daemon', '--no-detach', `--port=${port}`, `--config=${config}`], port)
  return { server, at: `rsync://127.0.0.1:${port}/all` }
}

/** The built trunkline's `serve`, on TCP or at a unix socket. */
export async function startTrunkline(
  over: 'tcp' | 'unix',
  folder: string,
  ...offers: readonly string[]
): Promise<Reached<string>> {
  const where = over === 'tcp' ? await freePort() : join(folder, 'trunkline.sock')
  const address = typeof where === 'number' ? `tcp://127.0.0.1:${where}` : `unix://${where}`
  const server = await daemon([process.execPath, BINARY, 'serve', address, ...offers], where)
  return { server, at: address }
}

/** nginx with one process, no log, and pages of so many bytes by their names. */
export async function startNginx(folder: string, pages: Readonly<Record<string, number>>): Promise<Reached<number>> {
  const { nginx } = installed({ nginx: 'nginx-light' })
  const port = await freePort()
  const root = join(folder, 'nginx')
  mkdirSync(root, { recursive: true })
  for (const [name, bytes] of Object.entries(pages)) writeFileSync(join(root, name), Buffer.alloc(bytes, 'some text '))
  const config = join(folder, 'nginx.conf')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${root}/${kind};`)
  const http = [...paths, 'access_log off;', 'keepalive_requests 100000000;', 'open_file_cache max=16;']
  const server = `server { listen 127.0.0.1:${port} backlog=1024; root ${root}; }`
  const main = ['daemon off;', 'master_process off;', `pid ${root}/pid;`, 'events { worker_connections 2048; }']
  writeFileSync(config, `${main.join('\n')}\nhttp {\n${http.join('\n')}\n${server}\n}\n`)
  return { server: await daemon([nginx, '-e', join(root, 'errors'), '-p', root, '-c', config], port), at: port }
}

/**
 * nginx as a TCP proxy (Debian's libnginx-mod-stream): what two ends of a tunnel cost in C, with
 * nothing between them but bytes.
 */
export async function startStreamProxy(folder: string, name: string, to: number): Promise<Reached<number>> {
  const { nginx } = installed({ nginx: 'nginx-light' })
  const port = await freePort()
  const root = join(folder, name)
  mkdirSync(root, { recursive: true })
  const config = join(root, 'nginx.conf')
  const stream = `server { listen 127.0.0.1:${port} backlog=1024; proxy_pass 127.0.0.1:${to}; }`
  const main = [
    `load_module ${STREAM_MODULE};`,
    'daemon off;',
    'master_process off;',
    `pid ${root}/pid;`,
    'events { worker_connections 2048; }',
  ]
  writeFileSync(config, `${main.join('\n')}\nstream {\n${stream}\n}\n`)
  return { server: await daemon([nginx, '-e', join(root, 'errors'), '-p', root, '-c', config], port), at: port }
}
