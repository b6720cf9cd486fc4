/**
 * The pages of docs/guide/transports can be copied from: their XML and JSON can be parsed, their
 * addresses are taken by the transports, their command lines by the command, and their units start
 * again and wait for the device that they use.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createProgram } from '../../src/cli/program.ts'
import { splitWords } from '../../transports/internal/command-words.ts'
import { SCHEMES } from '../../src/api/schemes.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { codeBlocks, readPage, type CodeBlock } from '../helpers/markdown.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { xmlProblem } from '../helpers/xml.ts'

const PAGES = readdirSync(join(ROOT, 'docs/guide/transports'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/guide/transports/${name}`)

const blocks = PAGES.flatMap(codeBlocks)
const blocksOf = (...infos: string[]): CodeBlock[] => blocks.filter(({ info }) => infos.includes(info))

/** The logical lines of a block: those that end in a backslash go on in the next one. */
const linesOf = ({ text }: CodeBlock): string[] => text.replaceAll(/\\\n\s*/g, '').split('\n')

/**
 * What `trunkline` is given, wherever a page starts it: behind a prompt, in a unit, inside an
 * `exec:` address.
 */
function commandsIn(block: CodeBlock): { place: string; words: string[] }[] {
  return linesOf(block).flatMap((line) => {
    const command = /^(?:\w+ +\$ |ExecStart=\S*(?=trunkline ))?(?:\/\S*\/)?trunkline (.*)$/.exec(line)?.[1]
    if (command === undefined) return []
    const words = splitWords(command)
    const inside = words.flatMap((word) => {
      const inner = /^exec:.*\btrunkline (.*)$/.exec(word)?.[1]
      return inner === undefined ? [] : [{ place: block.place, words: splitWords(inner) }]
    })
    return [{ place: block.place, words }, ...inside]
  })
}

/**
 * Every address in a text: with a scheme that could be one of ours, and no capital words in the
 * place of values.
 */
function addressesIn(text: string): string[] {
  const found = [
    ...text.matchAll(/(?<![\w+-])((?:tcp|unix|vsock|serial)(?:\+[a-z]+)?:\/\/[^\s`'"<>|)]*[^\s`'"<>|),.;:…])/g),
    ...text.matchAll(/(?<=["`])((?:serial\+)?exec:[^`"|…\n]+)(?=["`])/g),
  ].map(([, address = '']) => address)
  return found.filter((address) => !/[A-Z]{4}/.test(address.replace(/^(serial\+)?exec:.*/, '')))
}

/** Those in running text. */
const mentioned = PAGES.flatMap((page) =>
  [...readPage(page).matchAll(/`trunkline ([^`…]+)`/g)].map(([, words = '']) => ({
    place: page,
    words: splitWords(words),
  })),
)
const commands = [...blocks.flatMap(commandsIn), ...mentioned]
const addresses = PAGES.flatMap((page) =>
  [...new Set(addressesIn(readPage(page)))].map((address) => ({ page, address })),
)

async function made(address: string): Promise<unknown> {
  const load = SCHEMES[address.slice(0, address.indexOf(':'))]
  if (load === undefined) throw new Error('no transport has this scheme')
  return (await load())(address)
}

describe('docs/guide/transports', () => {
  it('is found', () => {
    assert.deepEqual(
      PAGES.map((page) => page.split('/').at(-1)),
      ['serial.md', 'stdio.md', 'tcp.md', 'unix.md', 'vsock.md'],
    )
    assert.ok(commands.length >= 20, `only ${commands.length} commands were found`)
    assert.ok(addresses.length >= 20, `only ${addresses.length} addresses were found`)
  })

  for (const { place, text } of blocksOf('xml')) {
    it(`has well-formed XML: ${place}`, () => {
      assert.equal(xmlProblem(text), undefined)
    })
  }

  for (const block of blocksOf('json')) {
    it(`has JSON that can be parsed: ${block.place}`, () => {
      assert.doesNotThrow(() => JSON.parse(block.text))
    })
  }

  it('has JSON that can be parsed in the bodies of requests', () => {
    const bodies = blocksOf('sh')
      .flatMap(linesOf)
      .flatMap((line) => [...line.matchAll(/-d '([^']*)'/g)].map(([, body = '']) => body))
    assert.ok(bodies.length > 0)
    for (const body of bodies) assert.doesNotThrow(() => JSON.parse(body), body)
  })

  for (const { page, address } of addresses) {
    it(`names an address that its transport takes: ${address} (${page})`, async () => {
      await assert.doesNotReject(made(address))
    })
  }

  it('is checked by transports that refuse what is no address', async () => {
    for (const wrong of ['tcp://0x7f.1:7000', 'unix://x.sock', 'exec:', 'nothing://x'])
      await assert.rejects(made(wrong))
  })

  for (const { place, words } of commands) {
    it(`has a command line that is one: trunkline ${words.join(' ')} (${place})`, async () => {
      const ran: string[] = []
      const program = await createProgram(capturedContext().context, () => undefined)
      for (const command of program.commands) command.action(() => void ran.push(command.name()))
      await program.parseAsync(words, { from: 'user' })
      assert.deepEqual(ran, words.slice(0, 1))
    })
  }
})

describe('the units in docs/guide/transports', () => {
  const units = blocksOf('ini')

  for (const { place, text } of units) {
    const value = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1]
    const device = /serial:\/\/(\/dev\/[^\s?]*)/.exec(value('ExecStart') ?? '')?.[1]

    it(`start again whatever happens: ${place}`, () => {
      assert.equal(value('Restart'), 'always')
    })

    if (device === undefined) continue
    it(`wait for their device, and may open it: ${place}`, () => {
      // systemd.unit(5): slashes become dashes, a dash is written out
      const unit = `${device.slice(1).replaceAll('-', '\\x2d').replaceAll('/', '-')}.device`
      for (const key of ['BindsTo', 'After', 'WantedBy']) assert.equal(value(key), unit)
      assert.equal(value('DeviceAllow'), `${device} rw`)
      assert.notEqual(value('User'), undefined)
    })
  }

  const analyze = spawnSync('systemd-analyze', ['--version'])
  const skip = analyze.status === 0 ? false : 'there is no systemd-analyze here'
  it('are accepted by systemd-analyze verify', { skip }, () => {
    const folder = temporaryFolder()
    for (const [index, { place, text }] of units.entries()) {
      // whole units only, and the program that they start is not here
      if (!text.includes('Description=')) continue
      mkdirSync(join(folder, String(index)))
      const file = join(folder, String(index), 'trunkline.service')
      writeFileSync(file, text.replaceAll('/usr/local/bin/trunkline', '/bin/true'))
      const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file], {
        encoding: 'utf8',
      })
      const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('trunkline.service'))
      assert.deepEqual(about, [], place)
    }
  })
})
