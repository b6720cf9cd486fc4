/**
 * What a command reads and writes as a standard descriptor, whatever that is, and which it refuses
 * by name.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { serving, type Serving } from '../helpers/command-line.ts'
import { pattern } from '../helpers/protocols.ts'
import { startRaw } from '../helpers/raw-command.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
const BYTES = pattern(3_000_000)
let server: Serving

before(async () => {
  writeFileSync(join(root, 'file'), BYTES)
  server = await serving(['--fs', root])
})
after(() => server.stop())

function opened(t: TestContext, path: string, flags: string): number {
  const fd = openSync(path, flags)
  t.after(() => {
    closeSync(fd)
  })
  return fd
}

interface Descriptors {
  readonly stdin?: number
  readonly stdout?: number
}

/** Runs a command to its end; gives its status and its lines on stderr. */
async function run(args: string[], { stdin, stdout }: Descriptors): Promise<{ status: number | null; stderr: string }> {
  const command = startRaw(args, [stdin ?? 'ignore', stdout ?? 'ignore', 'pipe'], server.address)
  let stderr = ''
  command.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [status] = await command.ended
  return { status, stderr }
}

/** A block device of `bytes`, and its file; undefined where this machine makes none. */
function blockDevice(t: TestContext, bytes: number): { device: string; image: string } | undefined {
  const image = join(temporaryFolder(), 'image')
  writeFileSync(image, '')
  truncateSync(image, bytes)
  const { status, stdout } = spawnSync('losetup', ['-f', '--show', image], { encoding: 'utf8' })
  if (status !== 0) return undefined
  const device = stdout.trim()
  t.after(() => {
    spawnSync('losetup', ['-d', device])
  })
  return { device, image }
}

/** What is on the device. */
function flushed({ device, image }: { device: string; image: string }): Buffer {
  spawnSync('blockdev', ['--flushbufs', device])
  return readFileSync(image)
}

const SECTOR = 512
const DEVICE_BYTES = Math.ceil(BYTES.length / SECTOR) * SECTOR

describe('a block device', () => {
  it('is read as standard input, and written as standard output and as a target [R-414]', async (t) => {
    const block = blockDevice(t, DEVICE_BYTES)
    if (block === undefined) {
      t.skip('this machine gives us no loop device')
      return
    }
    const writers = [
      () => run(['cat', ':/file'], { stdout: opened(t, block.device, 'r+') }),
      () => run(['cp', ':/file', '-'], { stdout: opened(t, block.device, 'r+') }),
      () => run(['cp', ':/file', block.device], {}),
    ]
    for (const write of writers) {
      writeFileSync(block.device, Buffer.alloc(DEVICE_BYTES), { flag: 'r+' })
      assert.deepEqual(await write(), { status: 0, stderr: '' })
      assert.ok(flushed(block).subarray(0, BYTES.length).equals(BYTES))
    }
    assert.deepEqual(await run(['cp', '-', ':/image'], { stdin: opened(t, block.device, 'r') }), {
      status: 0,
      stderr: '',
    })
    assert.ok(readFileSync(join(root, 'image')).equals(flushed(block)))
  })

  it('that is too small is an error [R-414]', async (t) => {
    const block = blockDevice(t, 1024 * 1024)
    if (block === undefined) {
      t.skip('this machine gives us no loop device')
      return
    }
    const { status, stderr } = await run(['cat', ':/file'], { stdout: opened(t, block.device, 'r+') })
    assert.match(stderr, /^trunkline: ERR_NO_SPACE: standard output: [^\n]+\n$/)
    assert.equal(status, 1)
  })
})

/**
 * One end for the command, the other for whoever looks; python3 makes sockets of every kind, Node
 * does not.
 */
const SOCKETS = `
import socket, subprocess, sys
kind, way, *command = sys.argv[1:]
ours, theirs = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
run = subprocess.Popen(command, **{way: theirs})
theirs.close()
if way == 'stdin':
    ours.send(b'through a socket')
    if kind == 'SOCK_DGRAM': ours.send(b'')
    ours.close()
else:
    print(ours.recv(100).decode(), end='')
sys.exit(run.wait(timeout=20))
`

describe('a socket', () => {
  for (const kind of ['SOCK_STREAM', 'SOCK_DGRAM', 'SOCK_SEQPACKET']) {
    it(`${kind} is read and written [R-415]`, async () => {
      writeFileSync(join(root, 'word'), 'from a file')
      const { BINARY } = await import('../helpers/command-line.ts')
      const env = { ...process.env, TRUNKLINE_TO: server.address }
      const started = (way: string, ...args: string[]): ReturnType<typeof spawnSync> =>
        spawnSync('python3', ['-c', SOCKETS, kind, way, process.execPath, BINARY, ...args], { env })
      const reading = started('stdin', 'cp', '-', ':/read')
      assert.equal(reading.status, 0, String(reading.stderr))
      assert.equal(readFileSync(join(root, 'read'), 'utf8'), 'through a socket')
      const writing = started('stdout', 'cat', ':/word')
      assert.equal(writing.status, 0, String(writing.stderr))
      assert.equal(String(writing.stdout), 'from a file')
    })
  }
})

describe('a descriptor that cannot do it', () => {
  it('is refused by name as standard input [R-416]', async (t) => {
    const file = join(temporaryFolder(), 'file')
    const wrongWay = await run(['cp', '-', ':/x'], { stdin: opened(t, file, 'w') })
    assert.match(wrongWay.stderr, /^trunkline: ERR_IO: standard input: is closed[^\n]*\n$/)
    const folder = await run(['cp', '-', ':/x'], { stdin: opened(t, root, 'r') })
    assert.match(folder.stderr, /^trunkline: ERR_IS_DIRECTORY: standard input: [^\n]+\n$/)
    // Node opens /dev/null, for reading and writing, in place of a descriptor that is closed.
    const closed = await run(['cp', '-', ':/x'], { stdin: opened(t, '/dev/null', 'r+') })
    assert.match(closed.stderr, /^trunkline: ERR_IO: standard input: is closed[^\n]*\n$/)
    assert.deepEqual([wrongWay.status, folder.status, closed.status], [1, 1, 1])
    assert.deepEqual(await run(['cp', '-', ':/x'], { stdin: opened(t, '/dev/null', 'r') }), { status: 0, stderr: '' })
  })

  for (const args of [['ls'], ['cat', ':/file'], ['cp', ':/file', '-'], ['stat', ':/file'], ['status'], ['--help']]) {
    it(`is refused by name as standard output: ${args.join(' ')} [R-416]`, async (t) => {
      const full = await run(args, { stdout: opened(t, '/dev/full', 'w') })
      assert.match(full.stderr, /^trunkline: ERR_NO_SPACE: standard output: [^\n]+\n$/)
      const file = join(temporaryFolder(), 'file')
      writeFileSync(file, '')
      const wrongWay = await run(args, { stdout: opened(t, file, 'r') })
      assert.match(wrongWay.stderr, /^trunkline: ERR_IO: standard output: is closed[^\n]*\n$/)
      assert.deepEqual([full.status, wrongWay.status], [1, 1])
    })
  }
})
