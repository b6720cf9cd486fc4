import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { nativeStatus, type NativeDescriptors } from '../../src/native/load.ts'
import { typeScript } from '../helpers/typescript.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const LOOPBACK = { family: 'ipv4', address: '127.0.0.1', port: 0 } as const
const status = nativeStatus()
const skip = 'problem' in status ? status.problem : false

describe('native addon', { skip }, () => {
  const native = 'native' in status ? status.native : (undefined as never as NativeDescriptors)

  it('reports the port that the system chose for port 0 [R-114]', () => {
    const fd = native.listen(LOOPBACK, 1)
    const at = native.localAddress(fd)
    native.close(fd)
    assert.equal(at.address, '127.0.0.1')
    assert.ok(at.port > 0)
  })

  it('accepts only when asked, and gives a descriptor that a Node socket takes', async () => {
    const fd = native.listen(LOOPBACK, 8)
    const { port } = native.localAddress(fd)
    assert.equal(native.accept(fd), undefined)
    const ready = deferred()
    const watch = native.watch(fd, ready.resolve)
    watch.start()
    const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    assert.equal(await ready.promise, undefined)
    watch.close()
    const accepted = native.accept(fd)
    assert.ok(accepted)
    assert.equal(accepted.remote.port, client.localPort)
    assert.deepEqual(accepted.local, { family: 'ipv4', address: '127.0.0.1', port })
    const socket = new Socket({ fd: accepted.fd, allowHalfOpen: true })
    socket.end('over the descriptor')
    const [data] = (await once(client, 'data')) as [Buffer]
    assert.equal(data.toString(), 'over the descriptor')
    const closed = once(socket.resume(), 'close')
    client.end()
    await closed
    native.close(fd)
  })

  it('stops telling of readiness when stopped, and tells again when started', async () => {
    const fd = native.listen(LOOPBACK, 8)
    let calls = 0
    let ready = deferred()
    const watch = native.watch(fd, () => {
      calls += 1
      watch.stop()
      ready.resolve()
    })
    watch.start()
    const client = connect({ host: '127.0.0.1', port: native.localAddress(fd).port })
    await ready.promise
    await once(client, 'connect')
    await new Promise(setImmediate)
    assert.equal(calls, 1)
    ready = deferred()
    watch.start()
    await ready.promise
    assert.equal(calls, 2)
    watch.close()
    watch.close()
    assert.throws(
      () => {
        watch.start()
      },
      { code: 'ERR_INVALID_ARG_VALUE' },
    )
    native.close(fd)
    client.on('error', () => undefined).destroy()
  })

  it('throws what Node would for an address in use and one that is not here [R-113]', () => {
    const fd = native.listen(LOOPBACK, 1)
    const { port } = native.localAddress(fd)
    assert.throws(() => native.listen({ ...LOOPBACK, port }, 1), { code: 'EADDRINUSE', errno: -98, syscall: 'bind' })
    assert.throws(() => native.listen({ ...LOOPBACK, address: '192.0.2.1' }, 1), { code: 'EADDRNOTAVAIL' })
    native.close(fd)
    assert.throws(
      () => {
        native.close(fd)
      },
      { code: 'EBADF', syscall: 'close' },
    )
  })

  it('refuses arguments that are no address, descriptor or backlog', () => {
    const bad = { code: 'ERR_INVALID_ARG_VALUE' }
    for (const address of ['127.1', 'localhost', '', '127.0.0.1\0x', '1'.repeat(100)]) {
      assert.throws(() => native.listen({ ...LOOPBACK, address }, 1), bad, address)
    }
    assert.throws(() => native.listen({ ...LOOPBACK, port: 65_536 }, 1), bad)
    assert.throws(() => native.listen({ ...LOOPBACK, family: 'unix' as never }, 1), bad)
    assert.throws(() => native.listen(LOOPBACK, 0), bad)
    assert.throws(() => native.listen(undefined as never, 1), Error)
    assert.throws(() => native.accept(-1), bad)
    assert.throws(() => native.watch(0, undefined as never), bad)
  })

  it('leaves no descriptor behind where binding fails', () => {
    const held = native.listen(LOOPBACK, 1)
    const { port } = native.localAddress(held)
    for (let i = 0; i < 50; i += 1) assert.throws(() => native.listen({ ...LOOPBACK, port }, 1))
    const next = native.listen(LOOPBACK, 1)
    // Others may have opened a few meanwhile; fifty would be ours.
    assert.ok(next < held + 40, `descriptor ${next} after ${held}`)
    native.close(next)
    native.close(held)
  })

  it('ends with a worker thread that forgot an open watch', async () => {
    const path = 'path' in status ? status.path : ''
    const code = `
      const native = require(${JSON.stringify(path)})
      const fd = native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, 1)
      native.watch(fd, () => {}).start()
      native.watch(native.listen({ family: 'ipv4', address: '127.0.0.1', port: 0 }, 1), () => {}).close()
      setImmediate(() => process.exit(7))`
    const worker = new Worker(code, { eval: true })
    assert.deepEqual(await once(worker, 'exit'), [7])
  })
})

describe('native addon build', { skip }, () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-native-'))
  })
  after(() => {
    rmSync(folder, { recursive: true })
  })

  it('compiles without a warning', () => {
    const output = join(folder, 'strict.node')
    const built = execFileSync(process.execPath, ['src/native/build.mjs', '--strict', '--output', output], {
      cwd: root,
    })
    assert.equal(built.toString(), '')
    assert.ok(existsSync(output))
  })

  it('checks its stack and its copies, and can write to no table once it is loaded [R-461]', () => {
    const output = join(folder, 'hardened.node')
    execFileSync(process.execPath, ['src/native/build.mjs', '--output', output], { cwd: root })
    const { segments, dynamic, text } = readElf(readFileSync(output))
    assert.match(text, /__stack_chk_fail/)
    assert.match(text, /__\w+_chk\b/)
    const PT_GNU_STACK = 0x6474e551
    const PT_GNU_RELRO = 0x6474e552
    assert.ok(segments.has(PT_GNU_RELRO), 'no RELRO')
    assert.equal((segments.get(PT_GNU_STACK) ?? 1) & 1, 0, 'an executable stack')
    const DT_FLAGS_1 = 0x6ffffffb
    const NOW = 1
    assert.ok(((dynamic.get(DT_FLAGS_1) ?? 0) & NOW) !== 0, 'binds later')
  })

  it('takes the headers of npm’s package node, which lie elsewhere than its binary [R-455]', () => {
    const modules = join(folder, 'node_modules')
    const binary = join(modules, 'node/bin/node')
    mkdirSync(join(modules, 'node/bin'), { recursive: true })
    copyFileSync(process.execPath, binary)
    const compiler = join(folder, 'compiler.mjs')
    writeFileSync(
      compiler,
      `#!${process.execPath}
       import { writeFileSync } from 'node:fs'
       const words = process.argv.slice(2)
       writeFileSync(words[words.indexOf('-o') + 1], words.find((word) => word.startsWith('-I')))`,
      { mode: 0o755 },
    )
    for (const place of ['node/node_modules', '.']) {
      const headers = join(modules, place, `node-${process.platform}-${process.arch}`, 'include/node')
      mkdirSync(headers, { recursive: true })
      for (const name of ['node_api.h', 'uv.h']) writeFileSync(join(headers, name), '')
      const output = join(folder, 'npm.node')
      execFileSync(binary, ['src/native/build.mjs', '--output', output], {
        cwd: root,
        env: { PATH: process.env.PATH, CC: compiler },
      })
      assert.equal(readFileSync(output, 'utf8'), `-I${headers}`)
      rmSync(join(modules, place, `node-${process.platform}-${process.arch}`), { recursive: true })
    }
  })

  it('says so in one line and succeeds where there is no compiler', () => {
    const output = join(folder, 'none.node')
    const run = spawnSync(process.execPath, ['src/native/build.mjs', '--output', output], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, CC: join(folder, 'no-such-compiler') },
    })
    assert.equal(run.status, 0)
    assert.match(run.stdout, /^trunkline: the native addon and the keeper were not built: there is no C compiler .*\n$/)
    assert.equal(existsSync(output), false)
  })
})

describe('native addon for the package', { skip }, () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-prebuild-'))
  })
  after(() => {
    rmSync(folder, { recursive: true })
  })

  const prebuild = (target: string, output: string, path = process.env.PATH) =>
    spawnSync(process.execPath, ['src/native/build.mjs', '--prebuild', '--target', target, '--output', output], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, PATH: path },
    })

  // e_machine of ELF, and the oldest C library that has a loader for it
  for (const [target, machine] of [
    ['linux-x64', 62],
    ['linux-arm64', 183],
  ] as const) {
    it(`is one for ${target}, and asks for no C library newer than 2.17`, (context) => {
      const output = join(folder, `${target}.node`)
      const { stdout } = prebuild(target, output)
      if (/(was|were) not built: there is no /.test(stdout)) {
        context.skip(stdout.trim())
        return
      }
      assert.equal(stdout, '')
      const file = readFileSync(output)
      assert.equal(file.toString('latin1', 0, 4), '\x7fELF')
      assert.equal(file.readUInt16LE(18), machine)
      const versions = [...file.toString('latin1').matchAll(/GLIBC_2\.([0-9]+)/g)].map(([, minor]) => Number(minor))
      assert.ok(versions.length > 0 && Math.max(...versions) <= 17, `GLIBC_2.${Math.max(...versions)}`)
      const keeper = readFileSync(join(folder, 'keeper'))
      const PT_INTERP = 3
      assert.equal(keeper.readUInt16LE(18), machine)
      assert.equal(
        readElf(keeper).segments.has(PT_INTERP),
        false,
        'the keeper asks for a loader, and so for a C library',
      )
    })
  }

  it('is left out where there is no compiler for it, which is said, and an old one is not taken for it', () => {
    const foreign = process.arch === 'arm64' ? 'linux-x64' : 'linux-arm64'
    const output = join(folder, 'old.node')
    writeFileSync(output, 'of other sources')
    const { status: code, stdout } = prebuild(foreign, output, '')
    assert.equal(code, 0)
    assert.match(
      stdout,
      new RegExp(
        `^trunkline: the native addon and the keeper for ${foreign} were not built: there is no .*-gcc .*\\n$`,
      ),
    )
    assert.equal(existsSync(output), false)
  })
})

describe('native addon loader', () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-loader-'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  })
  after(() => {
    rmSync(folder, { recursive: true })
  })

  /**
   * What the loader says that lies in `levels` of the package `name`; `off` is what switches the
   * addon off.
   */
  const ask = (name: string, levels: readonly string[], off = ''): string => {
    const home = join(folder, name, ...levels)
    mkdirSync(home, { recursive: true })
    writeFileSync(join(folder, name, 'package.json'), '{ "name": "trunkline", "type": "module" }')
    for (const file of ['load.ts', 'addon-file.ts', 'built-file.ts'])
      copyFileSync(join(root, 'src/native', file), join(home, file))
    const code = `import { nativeStatus } from ${JSON.stringify(join(home, 'load.ts'))}; console.log(JSON.stringify(nativeStatus()))`
    return execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: root,
      env: { ...process.env, TRUNKLINE_NO_ADDON: off },
    }).toString()
  }
  const SRC = ['src', 'native']
  const DIST = ['dist', 'src', 'native']
  /** Puts the addon into a folder of this name below `package`. */
  const build = (...levels: string[]): void => {
    const release = join(folder, ...levels)
    mkdirSync(release, { recursive: true })
    copyFileSync('path' in status ? status.path : '', join(release, 'trunkline.node'))
  }

  it('is not run by importing what may use it [R-136]', { skip }, () => {
    const code = `
      import { tcpListener } from ${JSON.stringify(join(root, 'protocols/tcp-listener.ts'))}
      import { tcpConnection } from ${JSON.stringify(join(root, 'protocols/tcp-connection.ts'))}
      import { readFileSync } from 'node:fs'
      tcpListener({ allow: [] }); tcpConnection({ allow: [] })
      console.log(readFileSync('/proc/self/maps', 'utf8').includes('trunkline.node'))`
    const args = typeScript('--input-type=module', '-e', code)
    assert.equal(execFileSync(process.execPath, args, { cwd: root }).toString(), 'false\n')
  })

  it('gives a sentence, not an error, where nothing was built', () => {
    assert.match(ask('bare', SRC), /"problem":"the native addon was not built/)
  })

  it('finds no neighbour’s, neither from src nor from dist, and none of a package around it [R-453]', { skip }, () => {
    build('build', 'Release')
    for (const levels of [SRC, DIST])
      assert.match(ask('neighbour', levels), /"problem":"the native addon was not built/)
    build('app', 'build', 'Release')
    writeFileSync(join(folder, 'app', 'package.json'), '{ "name": "app" }')
    assert.match(ask('app/lib', SRC), /"problem":"the native addon was not built/)
  })

  it('does not use an addon that was built from other sources [R-462]', { skip }, () => {
    const sources = join(folder, 'other', 'src', 'native')
    cpSync(join(root, 'src/native'), sources, { recursive: true })
    const module = readFileSync(join(sources, 'module.c'), 'utf8')
    const before = '"constants", constants'
    assert.ok(module.includes(before))
    writeFileSync(join(sources, 'module.c'), module.replace(before, '"numbers", constants'))
    execFileSync(process.execPath, [join(sources, 'build.mjs')])
    assert.match(ask('other', SRC), /"problem":"the native addon .* is of other sources than this: build it again"/)
  })

  it('gives a sentence where the addon is switched off [R-454]', { skip }, () => {
    build('off', 'build', 'Release')
    assert.match(ask('off', SRC), /"path":/)
    assert.match(ask('off', SRC, '1'), /"problem":"the native addon is switched off \(TRUNKLINE_NO_ADDON\)"/)
  })

  it('finds the file from src and from dist, and reports one that does not load', { skip }, () => {
    for (const [name, levels] of [
      ['a', SRC],
      ['b', DIST],
    ] as const) {
      build(name, 'build', 'Release')
      assert.match(ask(name, levels), /"path":/)
    }
    const prebuilt = join(folder, 'c', 'prebuilds', `${process.platform}-${process.arch}`)
    mkdirSync(prebuilt, { recursive: true })
    copyFileSync(join(root, 'package.json'), join(prebuilt, 'trunkline.node'))
    assert.match(ask('c', SRC), /"problem":"the native addon .* does not load/)
  })
})

/**
 * Of a 64-bit little-endian ELF file: its segments' flags by type, its dynamic section's values by
 * tag, and its bytes as text.
 */
function readElf(file: Buffer): { segments: Map<number, number>; dynamic: Map<number, number>; text: string } {
  const segments = new Map<number, number>()
  const dynamic = new Map<number, number>()
  const [start, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)]
  for (let index = 0; index < count; index++) {
    const at = start + index * size
    const type = file.readUInt32LE(at)
    segments.set(type, file.readUInt32LE(at + 4))
    if (type !== 2) continue
    const from = Number(file.readBigUInt64LE(at + 8))
    const length = Number(file.readBigUInt64LE(at + 32))
    for (let entry = from; entry < from + length; entry += 16) {
      dynamic.set(Number(file.readBigUInt64LE(entry)), Number(file.readBigUInt64LE(entry + 8) & 0xffffffffn))
    }
  }
  return { segments, dynamic, text: file.toString('latin1') }
}

function deferred(): { promise: Promise<string | undefined>; resolve: (value?: string) => void } {
  let resolve: (value?: string) => void = () => undefined
  const promise = new Promise<string | undefined>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
