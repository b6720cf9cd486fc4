/**
 * `doctor`: what it finds on lines that work and on lines that do not, what it says to do, and how
 * it exits.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server as SocketServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { Transform } from 'node:stream'
import { describe, it } from 'node:test'
import { bench } from '../../protocols/bench.ts'
import type { Context } from '../../src/cli/context.ts'
import { examine } from '../../src/cli/doctor/examine.ts'
import type { Finding } from '../../src/cli/doctor/findings.ts'
import type { Machine } from '../../src/cli/doctor/machine.ts'
import { examineVsock } from '../../src/cli/doctor/vsock.ts'
import { run } from '../../src/cli/run.ts'
import { serve, systemClock, type Clock } from '../../src/index.ts'
import { nativeStatus } from '../../src/native/load.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { BINARY, start } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort, loopbackServer } from '../helpers/loopback.ts'
import { openPty, ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** Limits of seconds pass in tenths: what waits for silence need not take its time. */
const FAST: Clock = {
  now: () => systemClock.now() * 10,
  after: (delayMs, callback, hold) => systemClock.after(delayMs / 10, callback, hold),
}

/** A user with no rights of its own, on every Linux. */
const NOBODY = 65_534

const base = temporaryFolder()

/** One of this file's own, gone when the process ends. */
function emptyFolder(): string {
  return mkdtempSync(join(base, 'f-'))
}

interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** The command, in this process. */
async function doctor(args: readonly string[], clock: Clock = systemClock): Promise<Outcome> {
  const { context, stdout, stderr } = capturedContext()
  // a getter of it opens standard input, so it is not copied
  const timed = Object.create(context, { clock: { value: clock } }) as Context
  const status = await run(['doctor', ...args], timed)
  return { status, stdout: stdout(), stderr: stderr() }
}

/** What is found on a machine that a test has made. */
async function findings(address: string, machine: Machine): Promise<Finding[]> {
  const found: Finding[] = []
  const context = Object.create(capturedContext().context, { clock: { value: FAST } }) as Context
  for await (const finding of examine(context, address, undefined, machine)) found.push(finding)
  return found
}

/** A report without what is different each time. */
function steady(report: string): string {
  return report
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replaceAll(/epoch [0-9a-f]{16}/g, 'epoch EPOCH')
    .replaceAll(/\d+(\.\d+)? [KMG]?i?B\b/g, 'SIZE')
    .replaceAll(/\d+(\.\d+)? m?s\b/g, 'TIME')
}

function problemsOf(report: string): string[] {
  return report.split('\n').filter((line) => line.startsWith('PROBLEM'))
}

describe('doctor on a line that works', () => {
  it('reports the line, the peer, the round trip and the rate, and exits 0', async () => {
    await using server = await serve('tcp://127.0.0.1:0', { protocols: [bench()], name: 'guest' })
    const { status, stdout, stderr } = await doctor([server.address])
    assert.equal(
      steady(stdout),
      `tcp://127.0.0.1:PORT
ok       tcp://127.0.0.1:PORT takes connections
ok       guest answers: wire version 1, epoch EPOCH, offers bench
ok       round trip TIME, the median of 10
ok       SIZE/s from the peer (SIZE in TIME)
ok       SIZE/s to the peer (SIZE in TIME)
No problem found.
`,
    )
    assert.equal(stderr, '')
    assert.equal(status, 0)
  })

  it('takes the peer of the other commands', async () => {
    await using server = await serve('tcp://127.0.0.1:0')
    const { context } = capturedContext({ TRUNKLINE_TO: server.address })
    assert.equal(await run(['doctor'], context), 0)
    assert.equal((await doctor(['--to', server.address])).status, 0)
  })

  it('says how to have the rate measured', async () => {
    await using server = await serve('tcp://127.0.0.1:0')
    const { status, stdout } = await doctor([server.address])
    assert.match(stdout, /^note +the rate was not measured[^\n]*\n +trunkline serve --bench does\.$/m)
    assert.equal(status, 0)
  })

  it('gives everything as one JSON object', async () => {
    await using server = await serve('tcp://127.0.0.1:0', { protocols: [bench()] })
    const { status, stdout } = await doctor(['--json', server.address])
    assert.equal(stdout.trimEnd().split('\n').length, 1)
    const report = JSON.parse(stdout) as { address: string; healthy: boolean; findings: Finding[] }
    assert.equal(report.address, server.address)
    assert.equal(report.healthy, true)
    assert.deepEqual(
      report.findings.map(({ check, level }) => `${check} ${level}`),
      ['line ok', 'peer ok', 'round-trip ok', 'rate ok', 'rate ok'],
    )
    const rates = report.findings.filter(({ check }) => check === 'rate').map(({ values }) => values)
    assert.deepEqual(
      rates.map((values) => values?.['direction']),
      ['read', 'write'],
    )
    for (const values of rates) assert.ok(Number(values?.['bytesPerSecond']) > 1_000_000)
    assert.equal(status, 0)
  })

  it('lets nothing through to the terminal that a peer calls itself', async () => {
    await using server = await serve('tcp://127.0.0.1:0', { name: '\u001B[2Jgone\n' })
    const { stdout } = await doctor([server.address])
    assert.ok(!stdout.includes('\u001B'))
    assert.match(stdout, /^ok +\\x1b\[2Jgone\\n answers/m)
  })
})

describe('doctor on a TCP address', () => {
  it('finds that nobody listens, and exits 1', async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`
    const { status, stdout, stderr } = await doctor([address])
    assert.equal(
      steady(stdout),
      `tcp://127.0.0.1:PORT
PROBLEM  cannot connect to tcp://127.0.0.1:PORT: nobody listens there (ERR_CONNECT_REFUSED)
           Start the other end:
             trunkline serve tcp://127.0.0.1:PORT
           A server at 127.0.0.1 is reached from its own machine only: serve at the address that you dial.
1 problem found.
`,
    )
    assert.equal(stderr, '')
    assert.equal(status, 1)
  })

  it('finds a peer that says nothing', async () => {
    const silent = await loopbackServer()
    const { status, stdout } = await doctor([`tcp://127.0.0.1:${silent.port}`], FAST)
    silent.close()
    assert.match(stdout, /^ok .*takes connections$/m)
    assert.match(stdout, /^PROBLEM .*\(ERR_HELLO_TIMEOUT\)\n +Something took the connection and said nothing/m)
    assert.equal(status, 1)
  })

  it('finds a peer that is something else', async () => {
    const mail = await loopbackServer((socket) => socket.write('220 mail.example ESMTP ready\r\n'))
    const { status, stdout } = await doctor([`tcp://127.0.0.1:${mail.port}`])
    mail.close()
    assert.match(stdout, /^PROBLEM .*\(ERR_NOT_TRUNKLINE\)\n +Another program answers/m)
    assert.equal(status, 1)
  })

  it('finds that the name does not resolve', async () => {
    const { status, stdout } = await doctor(['tcp://no-such-name.invalid:7000'])
    assert.match(stdout, /^PROBLEM +the name no-such-name\.invalid does not resolve$/m)
    assert.equal(status, 1)
  })

  it('says which names it looked up', async () => {
    const { stdout } = await doctor([`tcp://localhost:${await freePort()}`])
    assert.match(stdout, /^ok +localhost is .*(127\.0\.0\.1|::1)/m)
  })
})

describe('doctor on a peer with a token', () => {
  const folder = emptyFolder()
  const file = join(folder, 'token')
  writeFileSync(file, 'not the secret of the server\n')

  it('finds that one is missing, and that it is the wrong one', async () => {
    await using server = await serve('tcp://127.0.0.1:0', { token: 'the secret of the server' })
    for (const [args, code] of [
      [[server.address], 'ERR_AUTH_REQUIRED'],
      [[server.address, '--token-file', file], 'ERR_AUTH_FAILED'],
    ] as const) {
      const { status, stdout } = await doctor(args)
      assert.match(stdout, new RegExp(`^PROBLEM .*\\(${code}\\)\\n +Give both ends the same secret: --token-file`, 'm'))
      assert.equal(status, 1)
    }
  })
})

/** Listens at a path as a hypervisor does, and holds what connects. */
async function listenAt(path: string, onSocket: (socket: Socket) => void = () => undefined): Promise<SocketServer> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume()
    onSocket(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  return server
}

describe('doctor on a unix socket', () => {
  it('finds one that works', async () => {
    await using server = await serve(`unix://${join(emptyFolder(), 's')}`)
    const { status, stdout } = await doctor([server.address])
    assert.match(stdout, /^ok +\/\S+ is a socket\nok +we may read and write it\n/m)
    assert.deepEqual(problemsOf(stdout), [])
    assert.equal(status, 0)
  })

  it('finds that it is not there, and names those that are', async () => {
    const folder = emptyFolder()
    const server = await listenAt(join(folder, 'other.sock'))
    const { status, stdout } = await doctor([`unix://${folder}/missing.sock`])
    server.close()
    assert.match(stdout, /^PROBLEM +\S+missing\.sock does not exist\n +Sockets in \S+: other\.sock\n/m)
    assert.match(stdout, /^ +trunkline serve unix:\/\/\S+missing\.sock$/m)
    assert.equal(status, 1)
  })

  it('finds that nobody listens any more', async () => {
    const path = join(emptyFolder(), 'stale')
    const child = start(['serve', `unix://${path}`])
    await child.lines(1)
    child.child.kill('SIGKILL')
    await child.ended
    const { status, stdout } = await doctor([`unix://${path}`])
    assert.match(stdout, /^PROBLEM .*\(ERR_CONNECT_REFUSED\)\n +Start the other end:/m)
    assert.equal(status, 1)
  })

  it('finds that it is no socket', async () => {
    const path = join(emptyFolder(), 'file')
    writeFileSync(path, '')
    const { status, stdout } = await doctor([`unix://${path}`])
    assert.deepEqual(problemsOf(stdout), [`PROBLEM  ${path} is no socket`])
    assert.equal(status, 1)
  })

  it('finds that we may not use it, and says whose it is', async (context) => {
    const folder = emptyFolder()
    const path = join(folder, 's')
    const server = await listenAt(path)
    let output: string
    if (process.getuid?.() === 0) {
      // root may do everything: it is somebody else who asks then
      const as = { uid: NOBODY, gid: NOBODY, env: { PATH: process.env['PATH'] }, encoding: 'utf8' } as const
      const tried = spawnSync(process.execPath, [BINARY, '--version'], as)
      if (tried.status !== 0) {
        context.skip(`another user cannot run the command here: ${tried.stderr}`)
        server.close()
        return
      }
      for (const open of [base, folder]) chmodSync(open, 0o755)
      chownSync(path, 0, 12_345)
      chmodSync(path, 0o660)
      output = spawnSync(process.execPath, [BINARY, 'doctor', `unix://${path}`], as).stdout
      assert.match(output, /^ +sudo usermod -aG 12345 \w+$/m)
      assert.match(output, /: it belongs to root, group 12345, mode rw-rw----$/m)
    } else {
      chmodSync(path, 0o000)
      output = (await doctor([`unix://${path}`])).stdout
      assert.match(output, /^ +sudo chown \w+ /m)
      assert.match(output, /: it belongs to \w+, group \w+, mode ---------$/m)
    }
    server.close()
    assert.match(output, /^PROBLEM +\w+ may neither read nor write /m)
    assert.equal(problemsOf(output).length, 1, 'the socket is not connected to')
  })
})

describe('doctor on a hypervisor’s socket', () => {
  it('finds another client that is connected', async () => {
    const path = join(emptyFolder(), 'qemu.sock')
    const server = await listenAt(path)
    const other = connect(path)
    await once(server, 'connection')
    const { status, stdout } = await doctor([`serial+unix://${path}`], FAST)
    other.destroy()
    server.close()
    assert.match(stdout, /^note +in use: .*\n +QEMU serves one client at a time/m)
    assert.match(stdout, /^PROBLEM .*\(ERR_HELLO_TIMEOUT\)\n +Is a trunkline running in the guest/m)
    assert.equal(status, 1)
  })

  it('says how to start the machine where there is none', async () => {
    const { status, stdout } = await doctor([`serial+unix://${join(emptyFolder(), 'qemu.sock')}`])
    assert.match(stdout, /^PROBLEM .*does not exist\n.*\n +-chardev socket,id=line,path=\S+,server=on,wait=off$/m)
    assert.equal(status, 1)
  })
})

/**
 * A machine of files: each path, from its root, with its text; a link where it begins with `->`.
 */
function machineOf(files: Record<string, string>): Machine {
  const root = emptyFolder()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    if (text.startsWith('->')) symlinkSync(text.slice(2), join(root, path))
    else writeFileSync(join(root, path), text)
  }
  return { root, uid: process.getuid?.() ?? 0, pid: process.pid }
}

/** `check level: what`, line by line, with the advice below. */
function told(found: readonly Finding[]): string {
  return found
    .map(({ check, level, what, advice }) => [`${check} ${level}: ${what}`, ...(advice ?? [])].join('\n'))
    .join('\n')
}

describe('doctor on a device', () => {
  it('that is missing names similar ones that have hardware [R-121]', async () => {
    const machine = machineOf({
      '/dev/ttyUSB0': '',
      '/dev/ttyS0': '',
      '/dev/ttyS1': '',
      '/dev/ttyS10': '',
      '/dev/null': '',
      '/dev/virtio-ports/agent': '',
      '/sys/class/tty/ttyS1/type': '0\n',
    })
    assert.equal(
      told(await findings('serial:///dev/ttyS7', machine)),
      'device problem: /dev/ttyS7 does not exist\nThere are: /dev/ttyS0, /dev/ttyS10, /dev/ttyUSB0, /dev/virtio-ports/agent',
    )
    assert.match(told(await findings('serial:///dev/ttyS7', machineOf({ '/dev/null': '' }))), /no serial device at all/)
  })

  it('that is a virtio port without its link names the node', async () => {
    const machine = machineOf({ '/sys/class/virtio-ports/vport1p2/name': 'trunkline\n', '/dev/vport1p2': '' })
    const found = await findings('serial:///dev/virtio-ports/trunkline', machine)
    assert.match(told(found), /The port of that name is \/dev\/vport1p2: use serial:\/\/\/dev\/vport1p2$/)
  })

  it('of virtio says what a machine without any needs', async () => {
    const release = { '/proc/sys/kernel/osrelease': '6.1\n', '/lib/modules/6.1/modules.builtin': '' }
    const without = machineOf({ '/proc/modules': 'ext4 1 0\n', ...release })
    assert.match(told(await findings('serial:///dev/virtio-ports/x', without)), /sudo modprobe virtio_console/)
    const loaded = machineOf({ '/proc/modules': 'virtio_console 40960 2 - Live 0x0\n', ...release })
    assert.match(told(await findings('serial:///dev/virtio-ports/x', loaded)), /-device virtserialport,chardev=line/)
  })

  it('that is none says what it is', async () => {
    const machine = machineOf({ '/dev/ttyS0': 'text', '/run/vm.sock/x': '' })
    assert.match(told(await findings('serial:///dev/ttyS0', machine)), /is a file, not a character device/)
    assert.match(told(await findings('serial:///run/vm.sock', machine)), /is a folder, not a character device/)
    const path = join(emptyFolder(), 'qemu.sock')
    const server = await listenAt(path)
    const { stdout } = await doctor([`serial://${path}`])
    server.close()
    assert.match(stdout, /^PROBLEM .*is a socket, not a character device\n.*\n +serial\+unix:\/\/\S+qemu\.sock$/m)
  })

  it('that has no hardware behind it says so', async () => {
    // the names are those of what the link leads to: any character device will do
    const machine = machineOf({ '/dev/ttyS3': '->/dev/null', '/sys/class/tty/null/type': '0\n' })
    assert.match(told(await findings('serial:///dev/ttyS3', machine)), /there is no serial port behind it/)
  })

  const held = { '/dev/no-line': '->/dev/null', '/proc/77/fd/3': '->/dev/null' }

  it('that another process has open names the process [R-123]', async () => {
    const machine = machineOf({ ...held, '/proc/77/cmdline': '/usr/bin/minicom\0-D\0/dev/no-line\0' })
    const found = await findings('serial:///dev/no-line', machine)
    assert.match(told(found), /in-use problem: in use: minicom \(77\) has \/dev\/no-line open/)
    assert.ok(!found.some(({ check }) => check === 'line'), 'it is not opened')
  })

  it('that a login waits on says how to take it off', async () => {
    const login = { ...held, '/proc/77/cmdline': '/sbin/agetty\0-o\0-p\0null\0vt220\0' }
    const systemd = machineOf({ ...login, '/proc/1/comm': 'systemd\n' })
    assert.match(
      told(await findings('serial:///dev/no-line', systemd)),
      /login problem: a login waits on \/dev\/no-line: agetty \(77\)\n.*\n {2}sudo systemctl mask --now serial-getty@null\.service/,
    )
    const busybox = machineOf({ ...login, '/proc/1/comm': 'init\n' })
    assert.match(told(await findings('serial:///dev/no-line', busybox)), /remove null from \/etc\/inittab/)
  })

  it('that the kernel prints on says how to stop it', async () => {
    for (const files of [
      { '/proc/cmdline': 'ro console=tty0 console=null,115200\n' },
      { '/sys/class/tty/console/active': 'tty0 null\n' },
    ]) {
      const found = await findings('serial:///dev/no-line', machineOf({ '/dev/no-line': '->/dev/null', ...files }))
      assert.match(told(found), /console problem: the kernel prints its messages on \/dev\/no-line/)
      assert.ok(!found.some(({ check }) => check === 'line'), 'it is not written to')
    }
    const other = machineOf({ ...held, '/proc/cmdline': 'console=null0\n', '/sys/class/tty/console/active': 'tty0\n' })
    assert.ok(!(await findings('serial:///dev/no-line', other)).some(({ check }) => check === 'console'))
  })

  it('counts as hidden whose descriptors are closed to us, and nobody who has ended meanwhile [R-426]', async () => {
    const processes = {
      '/dev/no-line': '->/dev/null',
      // what may not be entered as a folder stands for one of another user, also to root
      '/proc/77/cmdline': '/usr/bin/theirs\0',
      '/proc/77/fd': '',
      // without words: a kernel thread
      '/proc/78/cmdline': '',
      '/proc/78/fd': '',
      // no descriptors any more
      '/proc/79/cmdline': '/usr/bin/ended\0',
    }
    const look = async (files: Record<string, string>): Promise<string> =>
      told(await findings('serial:///dev/no-line', machineOf(files)))
    assert.match(await look(processes), /in-use note: .*; 1 of other users are hidden from us/)
    const { '/proc/77/fd': _, ...seen } = processes
    assert.match(await look(seen), /^in-use ok: no other process has it open$/m)
  })
})

describe('doctor on a virtio port', () => {
  it('finds that the host is not there', async () => {
    // reads from it give 0, as those of a port do whose host has not come
    const machine = machineOf({ '/dev/vport99p9': '->/dev/null', '/sys/class/virtio-ports/null/name': 'trunkline\n' })
    const text = told(await findings('serial:///dev/vport99p9', machine))
    assert.match(text, /device ok: \/dev\/vport99p9 is the virtio port trunkline/)
    assert.match(text, /host problem: no program on the host has the other end open/)
    assert.doesNotMatch(text, /^line /m)
  })

  it('finds that the host is there', async () => {
    // there is nothing to read yet, as on a port whose host has said nothing
    const line = await openPty()
    const name = line.path.slice('/dev/'.length)
    const machine = machineOf({ '/dev/vport99p9': `->${line.path}`, [`/sys/class/virtio-ports/${name}/name`]: 'x\n' })
    const text = told(await findings('serial:///dev/vport99p9', machine))
    await line.close()
    assert.match(text, /^host ok: a program on the host has the other end open$/m)
    assert.match(text, /^line problem: .*\(ERR_NOT_FOUND\)$/m)
  })

  it('that is missing names the others first', async () => {
    const machine = machineOf({
      '/dev/ttyS0': '',
      '/dev/vport0p1': '',
      '/dev/virtio-ports/agent': '',
      '/sys/class/virtio-ports/vport0p1/name': 'agent\n',
      '/proc/modules': 'virtio_console 40960 2 - Live 0x0\n',
    })
    assert.match(
      told(await findings('serial:///dev/virtio-ports/other', machine)),
      /does not exist\nThere are: \/dev\/virtio-ports\/agent, \/dev\/ttyS0$/,
    )
  })
})

describe('doctor on AF_VSOCK', () => {
  const skip = 'problem' in nativeStatus() && 'the native addon is not built'
  const release = { '/proc/sys/kernel/osrelease': '6.1\n', '/lib/modules/6.1/modules.builtin': 'kernel/net/x.ko\n' }
  const look = async (cid: number, files: Record<string, string>): Promise<string> => {
    const found: Finding[] = []
    for await (const finding of examineVsock(machineOf({ ...release, ...files }), cid)) found.push(finding)
    return told(found)
  }

  it('says which module is missing', { skip }, async () => {
    const none = { '/proc/modules': 'ext4 1 0\n', '/proc/net/protocols': 'protocol  size\nUNIX 1024\n' }
    assert.match(await look(3, none), /family problem: [^\n]+\n[^\n]+\n {2}sudo modprobe vhost_vsock$/)
    assert.match(await look(1, none), /sudo modprobe vsock_loopback$/)
    const family = { ...none, '/proc/net/protocols': 'protocol  size\nAF_VSOCK 1240\n' }
    assert.match(await look(2, family), /driver problem: .*its host is missing \(vmw_vsock_virtio_transport\)/)
    assert.match(await look(1, { ...family, '/sys/module/vsock_loopback/refcnt': '0' }), /driver ok: .*vsock_loopback/)
    const builtIn = { ...family, '/lib/modules/6.1/modules.builtin': 'kernel/drivers/vhost/vhost-vsock.ko\n' }
    assert.match(await look(5, builtIn), /driver ok: .*its guests is there/)
  })
})

describe('doctor on a terminal', () => {
  it('finds a line that works, with its rate', async () => {
    const line = await ptyPair()
    const server = await serve(`serial://${line.far}`, { protocols: [bench()] })
    const { status, stdout } = await doctor([`serial://${line.near}`])
    await server.close()
    await line.close()
    assert.equal(
      steady(stdout).replaceAll(/pts\/\d+/g, 'pts/N'),
      `serial:///dev/pts/N
ok       /dev/pts/N is a pseudo-terminal
ok       we may read and write it
ok       no other process has it open
ok       set to raw: bytes pass as they are
ok       the line opens: serial:///dev/pts/N
ok       trunkline answers: wire version 1, epoch EPOCH, offers bench
ok       round trip TIME, the median of 10
ok       SIZE/s from the peer (SIZE in TIME)
ok       SIZE/s to the peer (SIZE in TIME)
No problem found.
`,
    )
    assert.equal(status, 0)
  })

  it('measures a slow one, too', async () => {
    const rate = 11_520
    const line = await ptyPair({ rate })
    const server = await serve(`serial://${line.far}`, { protocols: [bench()] })
    const { status, stdout } = await doctor(['--json', `serial://${line.near}`])
    await server.close()
    await line.close()
    const report = JSON.parse(stdout) as { findings: Finding[] }
    const rates = report.findings
      .filter(({ check }) => check === 'rate')
      .map(({ values }) => values?.['bytesPerSecond'])
    assert.equal(rates.length, 2, told(report.findings))
    for (const measured of rates)
      assert.ok(Number(measured) > rate / 3 && Number(measured) < rate * 1.5, String(measured))
    assert.equal(status, 0)
  })

  it('finds one that echoes [R-057]', async () => {
    const line = await openPty()
    line.master.pipe(line.master)
    const { status, stdout } = await doctor([`serial://${line.path}`], FAST)
    await line.close()
    assert.match(stdout, /^PROBLEM .*\(ERR_SELF_CONNECTION\)\n[^\n]+\n +stty -F DEVICE raw -echo$/m)
    assert.equal(status, 1)
  })

  it('finds one that changes bytes, and says which [R-058]', async () => {
    const line = await ptyPair({
      via: () =>
        new Transform({
          transform(chunk: Buffer, _encoding, done) {
            done(
              null,
              chunk.map((byte) => (byte === 0x0d ? 0x0a : byte)),
            )
          },
        }),
    })
    const server = await serve(`serial://${line.far}`)
    const { status, stdout } = await doctor([`serial://${line.near}`])
    await server.close()
    await line.close()
    assert.match(stdout, /^PROBLEM .*CR becomes NL.*\(ERR_LINE_NOT_RAW\)\n(?: +[^\n]+\n)* +stty -F DEVICE raw /m)
    assert.equal(status, 1)
  })

  it('finds that nobody answers', async () => {
    const line = await openPty()
    line.master.resume()
    const { status, stdout } = await doctor([`serial://${line.path}`], FAST)
    await line.close()
    assert.match(stdout, /^PROBLEM .*nothing came \(ERR_HELLO_TIMEOUT\)\n +Is a trunkline running at the other end/m)
    assert.equal(status, 1)
  })

  it('notes one that is not raw before it is opened', async () => {
    const line = await openPty({ cooked: true })
    line.master.resume()
    const { stdout } = await doctor([`serial://${line.path}`], FAST)
    await line.close()
    assert.match(stdout, /^note +not raw now \(icanon, echo, icrnl/m)
  })
})

describe('doctor as a process', () => {
  it('ends at once when it is interrupted', async () => {
    const silent = await loopbackServer()
    const running = start(['doctor', `tcp://127.0.0.1:${silent.port}`])
    await eventually(() => silent.sockets.length > 0, 'it connects', 10_000)
    running.child.kill('SIGINT')
    const { status, stderr } = await running.ended
    silent.close()
    assert.match(stderr, /^trunkline: ERR_ABORTED: [^\n]+\n$/)
    assert.equal(status, 1)
  })
})

describe('wrong usage of doctor', () => {
  for (const args of [[], ['no-scheme'], ['carrier-pigeon://loft'], ['tcp://127.0.0.1:99999'], ['--to', '']]) {
    it(`exits 2 with one line: trunkline doctor ${args.join(' ')}`, async () => {
      const { status, stdout, stderr } = await doctor(args)
      assert.equal(stdout, '')
      assert.match(stderr, /^trunkline: ERR_[A-Z_]+: [^\n]+\n$/)
      assert.equal(status, 2)
    })
  }
})
