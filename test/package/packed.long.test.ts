/**
 * The packed tarball, installed and used as a user would: what is in it, what it runs, what its
 * types say, what stays closed.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { addPrograms, packedConsumer, type Consumer } from '../helpers/packed-consumer.ts'
import type { CommandResult } from '../helpers/run-command.ts'
import { ROOT } from '../helpers/root.ts'

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc6')

describe('the packed package', () => {
  let consumer: Consumer
  let compiled: CommandResult

  before(async () => {
    consumer = await packedConsumer('{ "name": "consumer", "private": true, "type": "module" }\n')
    addPrograms(consumer)
    compiled = await consumer.run(process.execPath, TSC, '-p', '.')
  })

  after(() => {
    // undefined where packing failed
    ;(consumer as Consumer | undefined)?.remove()
  })

  /** Runs a program of the user's, given as the text of a module. */
  async function runModule(name: string, text: string): Promise<CommandResult> {
    writeFileSync(join(consumer.folder, name), text)
    return await consumer.run(process.execPath, name)
  }

  it('holds the build, its sources, the docs and the root pages, and nothing of the workshop', () => {
    const { files } = consumer
    for (const name of [
      'package.json',
      'README.md',
      'LICENSE',
      'dist/src/index.js',
      'dist/bin/main.cjs',
      'dist/bin/third-party-licenses.txt',
      'dist/src/index.d.ts',
      'docs/reference/errors.md',
    ]) {
      assert.ok(files.includes(name), `${name} is not in the tarball`)
    }
    const strange = files.filter(
      (path) =>
        !/^(dist|src|transports|protocols|docs)\//.test(path) &&
        // the addon and the keeper, where this machine can compile them
        !/^prebuilds\/[a-z0-9]+-[a-z0-9]+\/(trunkline\.node|keeper)$/.test(path) &&
        !['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md'].includes(path),
    )
    assert.deepEqual(strange, [])
    // the command is in dist/bin
    assert.deepEqual(
      files.filter((path) => path.startsWith('dist/src/cli/')),
      [],
    )
    assert.deepEqual(
      files.filter((path) => /tsbuildinfo|\.test\.|\.tgz|node_modules/.test(path)),
      [],
    )
  })

  it('type-checks in a strict project that uses everything public', () => {
    assert.equal(compiled.status, 0, compiled.output)
  })

  for (const plugin of ['clipboard', 'power']) {
    it(`runs the ${plugin} plugin between two ends, and the process exits by itself`, async () => {
      assert.ok(existsSync(join(consumer.folder, 'built')), 'the programs did not compile')
      const { status, output } = await consumer.run(process.execPath, `built/test/package/consumer/${plugin}.js`)
      assert.equal(output, `${plugin}: done\n`)
      assert.equal(status, 0)
    })
  }

  it('runs its command', async () => {
    const { status, output } = await consumer.run('node_modules/.bin/trunkline', '--help')
    assert.equal(status, 0, output)
    assert.match(output, /^Usage: trunkline/)
  })

  it('runs its command from its two files alone, without any package beside them [R-491]', async () => {
    const alone = mkdtempSync(join(tmpdir(), 'trunkline-alone-'))
    try {
      cpSync(join(consumer.folder, 'node_modules/trunkline/dist/bin'), alone, { recursive: true })
      writeFileSync(join(alone, 'hello.txt'), 'hello')
      const command = join(alone, 'trunkline.cjs')
      const peer = `exec:${process.execPath} ${command} serve stdio: --fs ${alone}`
      const { status, output } = await consumer.run(process.execPath, command, 'cat', '--to', peer, ':/hello.txt')
      assert.equal(output, 'hello')
      assert.equal(status, 0)
    } finally {
      rmSync(alone, { recursive: true, force: true })
    }
  })

  it('names every package whose code its command contains, with its licence [R-492]', () => {
    const text = readFileSync(join(consumer.folder, 'node_modules/trunkline/dist/bin/third-party-licenses.txt'), 'utf8')
    for (const name of ['commander', 'cborg', 'valibot', 'uint8arraylist', 'string-width'])
      assert.match(text, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(`, 'm'))
    const parts = text.split('-'.repeat(80))
    for (const part of parts) assert.match(part, /permission|licen[cs]e/i, part.slice(0, 200))
  })

  it('carries the conformance suite for authors of transports [R-117]', async () => {
    const { status, output } = await runModule(
      'mine.test.mjs',
      `import { transportConformance } from 'trunkline/testing'
       import { memory } from 'trunkline/transports/memory'
       let count = 0
       transportConformance('mine', (address) => memory(address ?? { name: 'mine' + count++ }))`,
    )
    assert.equal(status, 0, output)
    assert.match(output, /pass [12][0-9]/)
  })

  it('opens no private part to an import', async () => {
    const isPublic =
      /^dist\/(src\/(index|api\/streams)|transports\/(?!schemes)[^/]+|protocols\/[^/]+|test\/testing\/index)\.js$/
    const modules = consumer.files.filter((path) => path.startsWith('dist/') && path.endsWith('.js'))
    const closed = modules.filter((path) => !isPublic.test(path))
    assert.ok(closed.length > 20, `only ${closed.length} private modules were found`)
    const specifiers = [
      ...modules.map((path) => `trunkline/${path}`),
      ...closed
        .flatMap((path) => [path.slice('dist/'.length), path.slice('dist/'.length, -'.js'.length)])
        .map((path) => `trunkline/${path}`),
    ]
    const { output } = await runModule(
      'closed.mjs',
      `import { existsSync } from 'node:fs'
       import { fileURLToPath } from 'node:url'
       for (const specifier of ${JSON.stringify(specifiers)}) {
         try {
           if (existsSync(fileURLToPath(import.meta.resolve(specifier)))) console.log(specifier, 'is open')
         } catch (error) {
           if (error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') console.log(specifier, error.code)
         }
       }`,
    )
    assert.equal(output, '')
  })

  it('loads no native addon, opens no handle and lets the process exit, whatever is imported [R-136]', async () => {
    const entries = consumer.files
      .map((path) => /^dist\/((?:transports|protocols)\/(?!schemes\.)[^/]+)\.js$/.exec(path)?.[1])
      .filter((path) => path !== undefined)
    assert.ok(entries.includes('transports/tcp'), 'no transport was found')
    const builtins = new Set(
      consumer.files
        .filter((path) => path.startsWith('dist/') && path.endsWith('.js'))
        .flatMap((path) => {
          const text = readFileSync(join(consumer.folder, 'node_modules/trunkline', path), 'utf8')
          return [...text.matchAll(/from '(node:[a-z/_]+)'/g)].map(([, name]) => name)
        }),
    )
    assert.ok(builtins.has('node:net'), 'no module of Node’s was found')
    const { status, output } = await runModule(
      'import.mjs',
      `// what importing Node's own modules opens is not ours: on Node 26 node:util opens stderr
       for (const name of ${JSON.stringify([...builtins])}) await import(name)
       const state = () => ({
         handles: process.getActiveResourcesInfo().sort(),
         addons: process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node')),
         listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
       })
       const before = JSON.stringify(state())
       for (const name of ${JSON.stringify(['', '/streams', ...entries.map((path) => `/${path}`)])}) {
         await import('trunkline' + name)
         const now = JSON.stringify(state())
         if (now !== before) console.log(name, before, now)
       }`,
    )
    assert.equal(output, '')
    assert.equal(status, 0)
  })
})
