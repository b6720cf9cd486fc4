/** The command line's proxies, with curl as their client, through two real processes. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { serving, start } from '../helpers/command-line.ts'
import type { Running, Serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/loopback.ts'
import { runCommand } from '../helpers/run-command.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const NO_CURL = spawnSync('curl', ['--version']).status !== 0 && 'curl is not installed'
const NO_GIT = spawnSync('git', ['--version']).status !== 0 && 'git is not installed'
/** Nobody listens there. */
const CLOSED = 1

let web: Server
let port: number
let server: Serving
let forward: Running
let listening: Running
let proxying: Serving
/** Of `-D`, of `-R`, and of `serve --proxy`. */
const ports: Record<string, number> = {}

/** What curl printed, and its status. */
async function curl(...args: string[]): Promise<{ status: number | null; output: string }> {
  const { status, output } = await runCommand(
    { cwd: '/', timeoutMs: 20_000 },
    'curl',
    // -q: nothing of the user's own settings
    ['-q', '--silent', '--max-time', '15', '--noproxy', '', ...args],
  )
  return { status, output }
}

/** How curl is told of the proxy. */
const CLIENTS: Readonly<Record<string, (proxy: number) => string[]>> = {
  '--socks5-hostname': (proxy) => ['--socks5-hostname', `127.0.0.1:${proxy}`],
  '--socks5': (proxy) => ['--socks5', `127.0.0.1:${proxy}`],
  '--socks4a': (proxy) => ['--socks4a', `127.0.0.1:${proxy}`],
  '--socks4': (proxy) => ['--socks4', `127.0.0.1:${proxy}`],
  '--proxytunnel': (proxy) => ['--proxytunnel', '--proxy', `http://127.0.0.1:${proxy}`],
  '--proxy': (proxy) => ['--proxy', `http://127.0.0.1:${proxy}`],
}

before(async () => {
  web = createServer((request, response) => {
    let length = 0
    request.on('data', (chunk: Buffer) => (length += chunk.byteLength))
    request.on('end', () => response.end(`${request.method} ${request.url} ${length} ${request.headers.host}\n`))
  })
  web.listen(0, '127.0.0.1')
  await once(web, 'listening')
  port = (web.address() as AddressInfo).port
  const allowed = [`127.0.0.1:${port}`, `127.0.0.1:${CLOSED}`]
  server = await serving([...allowed.flatMap((rule) => ['--connect', rule]), '--listen', '127.0.0.1:*'])
  const rules = allowed.flatMap((rule) => ['--allow', rule])
  forward = start(['forward', '-D', '0', '-R', '0', ...rules, '--http'], { to: server.address })
  const lines = await forward.lines(2)
  const [here, there] = lines.map((line) => Number(/:(\d+) -> /.exec(line)?.[1]))
  ports['-D'] = here ?? 0
  ports['-R'] = there ?? 0
  const free = await freePort()
  proxying = await serving(['--proxy', String(free), ...rules, '--http'])
  listening = start(['forward', '--listen', `127.0.0.1:${free}`], { to: proxying.address })
  ports['--proxy'] = free
})
after(async () => {
  forward.child.kill('SIGKILL')
  listening.child.kill('SIGKILL')
  await server.stop()
  await proxying.stop()
  web.close()
  web.closeAllConnections()
})

for (const where of ['-D', '-R', '--proxy']) {
  describe(`the proxy of ${where}`, { skip: NO_CURL }, () => {
    for (const [client, options] of Object.entries(CLIENTS)) {
      it(`serves curl ${client}, a page and an upload, and tells what is true of others [R-547]`, async () => {
        const through = options(ports[where] ?? 0)
        const url = `http://localhost:${port}/a?b`
        // `serve --proxy` has the port some time after the peer is there
        const page = await curl(...through, '--retry', '20', '--retry-connrefused', '--retry-delay', '0', '-4', url)
        assert.deepEqual(page, { status: 0, output: `GET /a?b 0 localhost:${port}\n` })
        const upload = await curl(
          ...through,
          '-4',
          '-H',
          'Transfer-Encoding: chunked',
          '--data-binary',
          '@/usr/bin/env',
          url,
        )
        assert.match(upload.output, /^POST \/a\?b \d{4,} localhost:\d+\n$/)
        const failing = async (host: string): Promise<string> =>
          (await curl(...through, '--write-out', '%{http_code} %{http_connect} %{errormsg}', '-o', '/dev/null', host))
            .output
        const denied = await failing(`http://127.0.0.2:${port}/`)
        assert.match(denied, client.startsWith('--socks5') ? /\(2\)/ : client.startsWith('--socks4') ? /\(91\)/ : /403/)
        const refused = await failing(`http://127.0.0.1:${CLOSED}/`)
        assert.match(
          refused,
          client.startsWith('--socks5') ? /\(5\)/ : client.startsWith('--socks4') ? /\(91\)/ : /502/,
        )
      })
    }
  })
}

describe('the proxies of the command line', () => {
  it('say where they are, and why a client was refused', { skip: NO_CURL }, async () => {
    assert.deepEqual(await forward.lines(2), [
      `forwarding 127.0.0.1:${ports['-D']} -> proxy, the peer connects`,
      `forwarding peer 127.0.0.1:${ports['-R']} -> proxy, connected from here`,
    ])
    await curl('--socks5-hostname', `127.0.0.1:${ports['-R']}`, 'http://127.0.0.3:80/')
    const line = `trunkline: ERR_DENIED: peer 127.0.0.1:${ports['-R']} -> proxy, connected from here: 127.0.0.3:80 is not allowed here\n`
    await eventually(() => forward.stderr().includes(line), 'the line')
  })

  it('carry a clone by git, over HTTP and over SOCKS', { skip: NO_GIT }, async () => {
    const folder = temporaryFolder()
    const bare = join(folder, 'r.git')
    const git = async (...args: string[]): Promise<void> => {
      const identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.example']
      const { status, output } = await runCommand({ cwd: folder, timeoutMs: 30_000 }, 'git', [...identity, ...args])
      assert.equal(status, 0, output)
    }
    await git('init', '-q', '-b', 'main', 'work')
    await git('-C', 'work', 'commit', '-q', '--allow-empty', '-m', 'through the proxy')
    await git('clone', '-q', '--bare', 'work', bare)
    await git('-C', bare, 'update-server-info')
    const files = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost')
      try {
        response.end(readFileSync(join(folder, pathname)))
      } catch {
        // what git only looks for
        response.writeHead(404).end()
      }
    })
    files.listen(0, '127.0.0.1')
    await once(files, 'listening')
    const at = (files.address() as AddressInfo).port
    const own = start(['forward', '-R', '0', '--allow', `127.0.0.1:${at}`, '--http'], { to: server.address })
    const [line = ''] = await own.lines(1)
    const proxy = `127.0.0.1:${/:(\d+) -> /.exec(line)?.[1]}`
    for (const scheme of ['http', 'socks5h'])
      await git('-c', `http.proxy=${scheme}://${proxy}`, 'clone', '-q', `http://127.0.0.1:${at}/r.git`, `by-${scheme}`)
    for (const scheme of ['http', 'socks5h']) await git('-C', `by-${scheme}`, 'rev-parse', '--verify', '-q', 'HEAD')
    own.child.kill('SIGTERM')
    assert.equal((await own.ended).status, 0)
    files.close()
    files.closeAllConnections()
  })

  it('leave sessions alone whose peer does not listen, and say where it may not [R-548]', async () => {
    const quiet = start(['ping', '-c', '1'], { to: proxying.address })
    assert.equal((await quiet.ended).status, 0)
    const elsewhere = start(['forward', '--listen', '127.0.0.2:*'], { to: proxying.address })
    await eventually(() => proxying.said().some((line) => line.includes('ERR_DENIED: proxy at 127.0.0.1:')), 'the line')
    elsewhere.child.kill('SIGTERM')
    assert.equal((await elsewhere.ended).status, 0)
    assert.equal(proxying.said().filter((line) => line.includes('proxy at')).length, 1)
  })

  it('ask for the password in a file, SOCKS and HTTP alike [R-549]', { skip: NO_CURL }, async () => {
    const file = join(temporaryFolder(), 'login')
    writeFileSync(file, 'me:a secret\n')
    const own = start(['forward', '-D', '0', '--proxy-auth-file', file], { to: server.address })
    const [line = ''] = await own.lines(1)
    const at = `127.0.0.1:${/:(\d+) -> /.exec(line)?.[1]}`
    const url = `http://127.0.0.1:${port}/`
    const status = async (...args: string[]): Promise<number | null> =>
      (await curl(...args, '-o', '/dev/null', url)).status
    assert.equal(await status('--socks5-hostname', at, '--proxy-user', 'me:a secret'), 0)
    assert.equal(await status('--proxytunnel', '--proxy', `http://${at}`, '--proxy-user', 'me:a secret'), 0)
    assert.notEqual(await status('--socks5-hostname', at, '--proxy-user', 'me:wrong'), 0)
    assert.notEqual(await status('--socks5-hostname', at), 0)
    assert.notEqual(await status('--socks4a', at), 0)
    assert.equal(await status('--proxytunnel', '--proxy', `http://${at}`), 56)
    own.child.kill('SIGTERM')
    assert.equal((await own.ended).status, 0)
  })

  const WRONG: readonly (readonly [args: string[], says: RegExp])[] = [
    [['forward', '-D', '0.0.0.0:1080'], /serves whoever reaches it/],
    [['forward', '-D', '*:1080'], /serves whoever reaches it/],
    [['forward', '-D', ':1080'], /serves whoever reaches it/],
    [['forward', '-R', '[::]:1080', '--allow', 'any'], /serves whoever reaches it/],
    [['forward', '-D', '1080:host:80'], /\[BIND:\]PORT/],
    [['forward', '-D', '65536'], /above 65535/],
    [['forward', '-R', '1080'], /--allow/],
    [['forward', '-L', '1:a:2', '--allow', 'any'], /--allow/],
    [['forward', '-R', '1080', '--allow', 'x'], /--allow: .*"x"/],
    [['forward', '--listen', 'x'], /--listen: .*"x"/],
    [['forward', '-L', '1:a:2', '--http'], /--http is for a proxy/],
    [['forward', '-L', '1:a:2', '--proxy-auth-file', '/none'], /--proxy-auth-file is for a proxy/],
    [['serve', 'tcp://127.0.0.1:0', '--insecure-bind'], /--insecure-bind is for --proxy/],
    [['serve', 'tcp://127.0.0.1:0', '--proxy', '1080'], /--allow/],
    [['serve', 'tcp://127.0.0.1:0', '--allow', 'any'], /--proxy/],
    [['serve', 'tcp://127.0.0.1:0', '--proxy', '1080', '--allow', 'x'], /--allow: .*"x"/],
    [['serve', 'tcp://127.0.0.1:0', '--proxy', '0.0.0.0:1080', '--allow', 'any'], /serves whoever reaches it/],
  ]
  for (const [args, says] of WRONG) {
    it(`are wrong usage as ${args.join(' ')}`, async () => {
      const { context, stderr } = capturedContext({ TRUNKLINE_TO: 'tcp://127.0.0.1:1' })
      assert.equal(await run(args, context), 2)
      assert.match(stderr(), says)
    })
  }
})
