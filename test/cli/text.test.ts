/** The small parts: byte strings, error lines, numbers, forward specs, the progress bar. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, read, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPlainName, wirePath } from '../../src/runtime/byte-path.ts'
import { byteString, fromBytes, toBytes } from '../../src/runtime/byte-string.ts'
import { printable, printableLines } from '../../src/runtime/printable.ts'
import { asFailure, errorLine } from '../../src/cli/failure.ts'
import { formatBytes, formatDuration, formatMode, formatTime, sparkline } from '../../src/cli/format.ts'
import { parseForward } from '../../src/cli/forward/spec.ts'
import { MAX_WAITING_LINES, standardError, standardOutput } from '../../src/cli/output.ts'
import { Owner } from '../../src/cli/owner.ts'
import { run } from '../../src/cli/run.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { serve, TrunkError } from '../../src/index.ts'
import { filesystem } from '../../protocols/filesystem.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

describe('lines on standard error', () => {
  it('wait for a reader up to a bound; how many were left out beyond it is said [R-555]', async () => {
    const fifo = join(temporaryFolder(), 'fifo')
    execFileSync('mkfifo', [fifo])
    // opened both ways, so that neither end waits for the other
    const fd = openSync(fifo, 'r+')
    const context = { signal: new AbortController().signal, owner: new Owner(), clock: systemClock }
    const output = standardError(fd, context)
    const line = `${'x'.repeat(1023)}\n`
    const lines = 512
    assert.ok(lines * line.length > MAX_WAITING_LINES + 64 * 1024, 'more than the queue and the pipe hold')
    for (let count = 0; count < lines; count += 1) output.write(line)
    let text = ''
    const reading = openSync(fifo, 'r')
    for (const part = Buffer.alloc(64 * 1024); !text.includes('left out');) {
      text += part.toString(
        'utf8',
        0,
        await new Promise<number>((resolve, reject) =>
          read(reading, part, 0, part.length, null, (error, size) => (error === null ? resolve(size) : reject(error))),
        ),
      )
    }
    await output.flushed()
    for (const each of [reading, fd]) closeSync(each)
    const leftOut = Number(/\ntrunkline: (\d+) further lines were left out\n$/.exec(text)?.[1])
    assert.equal(text.split(line).length - 1 + leftOut, lines)
    assert.ok(leftOut > 100 && leftOut <= lines - MAX_WAITING_LINES / line.length, `${leftOut} of ${lines}`)
  })
})

describe('byte strings', () => {
  it('keep any bytes [R-095]', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        assert.deepEqual(new Uint8Array(toBytes(fromBytes(bytes))), bytes)
      }),
    )
  })

  it('are the text where the bytes are UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        assert.equal(fromBytes(Buffer.from(text)), byteString(Buffer.from(text).toString()))
        assert.deepEqual(toBytes(byteString(text)), Buffer.from(text))
      }),
    )
    assert.equal(fromBytes(Buffer.from('\uFFFD')), byteString('\uFFFD'))
  })

  it('show nothing that a terminal would obey', () => {
    assert.equal(printable('a\u001B[2Jb\nc\u009Bd'), 'a\\x1b[2Jb\\nc\\x9bd')
    assert.equal(printable(fromBytes(Buffer.from([0x63, 0xe9]))), 'c\\xe9')
    assert.equal(printable('ünï → 😀'), 'ünï → 😀')
  })

  it('leave nothing in a printed line that a terminal would obey but colours, whoever forgot to escape it [R-554]', async () => {
    const line = 'a\u001B[32mgreen\u001B[39m \u009B2J\u001B]0;title\u0007\u202E\u001B[2J\nsecond → ünï'
    const shown = 'a\u001B[32mgreen\u001B[39m \\x9b2J\\x1b]0;title\\x07\\u202e\\x1b[2J\nsecond → ünï'
    assert.equal(printableLines(line), shown)
    const file = join(temporaryFolder(), 'out')
    const fd = openSync(file, 'w')
    const context = { signal: new AbortController().signal, owner: new Owner(), clock: systemClock }
    await standardOutput(fd, context, () => Promise.resolve()).line(line)
    closeSync(fd)
    assert.equal(readFileSync(file, 'utf8'), `${shown}\n`)
  })
})

describe('error lines', () => {
  it('are one line, whatever the peer says', () => {
    assert.equal(errorLine('ERR_IO', 'first\n second\u001B[31m\r'), 'trunkline: ERR_IO: first second\\x1b[31m')
  })

  it('map scopes and codes to exit statuses', () => {
    const statusOf = (code: string): number => asFailure(new TrunkError(code, 'x')).status
    assert.deepEqual(
      ['ERR_NOT_FOUND', 'ERR_BAD_ARGUMENT', 'ERR_LINK_LOST', 'ERR_KEEPALIVE_TIMEOUT', 'ERR_DENIED', 'PLUGIN_CODE'].map(
        statusOf,
      ),
      [1, 2, 3, 3, 4, 1],
    )
    assert.equal(asFailure(Object.assign(new Error('x'), { code: 'ENOSPC' })).code, 'ERR_NO_SPACE')
    assert.equal(asFailure('thrown text').code, 'ERR_IO')
  })
})

describe('paths', () => {
  it('are sent in their one spelling', () => {
    assert.equal(wirePath(byteString('/a//b/./c')), 'a/b/c')
    assert.equal(wirePath(byteString('/')), '')
    assert.deepEqual(wirePath(fromBytes(Buffer.from([0x2f, 0xe9]))), Buffer.from([0xe9]))
  })

  it('take only plain names from the peer', () => {
    for (const name of ['', '.', '..', 'a/b', 'a\0']) assert.ok(!isPlainName(byteString(name)))
    for (const name of ['a', '...', '-', ' ']) assert.ok(isPlainName(byteString(name)))
  })
})

describe('numbers', () => {
  it('read well', () => {
    assert.deepEqual([0, 999, 1000, 1536, 10_240, 1024 ** 2, 2 ** 31, 1e18].map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 KiB',
      '1.5 KiB',
      '10 KiB',
      '1.0 MiB',
      '2.0 GiB',
      '888 PiB',
    ])
    assert.deepEqual([0.213, 42, 999.7, 2400, 59_900, 185_000, 7_800_000].map(formatDuration), [
      '0.21 ms',
      '42 ms',
      '1.0 s',
      '2.4 s',
      '1 min 00 s',
      '3 min 05 s',
      '2 h 10 min',
    ])
    assert.equal(formatMode('directory', 0o751), 'drwxr-x--x')
    assert.equal(formatTime(0), '1970-01-01 00:00:00')
    assert.equal(formatTime(1e300), '-')
  })

  it('over time are bars up to the largest [R-306]', () => {
    assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7]), '▁▂▃▄▅▆▇█')
    assert.equal(sparkline([500, 1000, 0, -1]), '▅█▁▁')
    assert.deepEqual([sparkline([]), sparkline([0, 0])], ['', '▁▁'])
  })
})

describe('forward specs', () => {
  it('have an optional bind address and IPv6 in brackets', () => {
    assert.deepEqual(parseForward('8080:host:80'), { bind: undefined, port: 8080, host: 'host', hostPort: 80 })
    assert.deepEqual(parseForward('0.0.0.0:0:[::1]:80'), { bind: '0.0.0.0', port: 0, host: '::1', hostPort: 80 })
    assert.deepEqual(parseForward('[::1]:1:a:2'), { bind: '::1', port: 1, host: 'a', hostPort: 2 })
    assert.equal(formatHostPort('::1', 80), '[::1]:80')
    for (const zone of ['%25eth0', '%eth0']) {
      const spec = parseForward(`[fe80::1${zone}]:1:[fe80::2${zone}]:2`)
      assert.deepEqual(spec, { bind: 'fe80::1%eth0', port: 1, host: 'fe80::2%eth0', hostPort: 2 })
    }
  })

  it('are nothing else', () => {
    for (const text of [
      '',
      '80',
      'a:b',
      '80:host',
      '80:host:0',
      '80:host:65536',
      '65536:h:1',
      '::1:1:a:2',
      '1:2:3:4:5',
      '-1:a:1',
    ]) {
      assert.throws(() => parseForward(text), text)
    }
  })
})

describe('progress', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'root'))
  // large enough to last for several drawings however fast the line is
  writeFileSync(join(folder, 'root/large'), '')
  truncateSync(join(folder, 'root/large'), 300_000_000)

  async function copyAt(columns: number): Promise<string> {
    await using server = await serve('unix://' + join(folder, `s${columns}`), {
      protocols: [filesystem({ root: join(folder, 'root') })],
    })
    const { context, stderr } = capturedContext({ TRUNKLINE_TO: server.address }, columns)
    assert.equal(await run(['cp', ':large', join(folder, 'copy')], context), 0)
    return stderr()
  }

  it('is not drawn in a pipe', async () => {
    assert.equal(await copyAt(0), '')
  })
})
