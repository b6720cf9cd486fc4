/** What names of peers may be, and where an argument holds one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Command } from 'commander'
import { SCHEMES } from '../../src/api/schemes.ts'
import { preparedArguments } from '../../src/cli/arguments.ts'
import { escapedText } from '../../src/runtime/byte-string.ts'
import { asFailure } from '../../src/cli/failure.ts'
import { fits, isPattern, isPeerName, nameIn } from '../../src/cli/peer-name.ts'
import { createProgram } from '../../src/cli/program.ts'
import { parseEndpoint } from '../../src/cli/remote-path.ts'
import { capturedContext } from '../helpers/captured-context.ts'

describe('names of peers', () => {
  it('are words for every shell, and no scheme [R-676]', () => {
    for (const name of ['vm1', 'a.b', 'A_b-9', 'x'.repeat(63)]) assert.ok(isPeerName(name), name)
    const bad = [
      '',
      'a',
      '-a',
      '.a',
      '..',
      'a b',
      'a/b',
      'a:b',
      "a'b",
      'a$b',
      'a\nb',
      'ä1',
      '__proto__',
      'x'.repeat(64),
    ]
    for (const name of bad) assert.ok(!isPeerName(name), name)
    for (const scheme of Object.keys(SCHEMES))
      assert.ok(!isPeerName(scheme) && !isPeerName(scheme.toUpperCase()), scheme)
  })

  it('have a pattern that fits, in time that its length bounds [R-676]', () => {
    const fit: [string, string][] = [
      ['ci-*', 'ci-1'],
      ['*', 'vm1'],
      ['c?-*-x', 'ci--x'],
      ['*a*b', 'xaab'],
      ['ci-*', 'ci-'],
    ]
    for (const [pattern, name] of fit) assert.ok(fits(pattern, name), `${pattern} ${name}`)
    for (const [pattern, name] of [
      ['ci-*', 'ci'],
      ['c?', 'c'],
      ['*a*b', 'ab1'],
      ['a', 'ab'],
    ] as const)
      assert.ok(!fits(pattern, name), `${pattern} ${name}`)
    assert.ok(!fits(`${'*a'.repeat(31)}b`, 'a'.repeat(63)))
    assert.ok(isPattern('ci-*') && isPattern('*') && !isPattern('vm1') && !isPattern('a/*') && !isPattern('-*'))
  })

  it('are told from addresses by the colon [R-676]', () => {
    assert.equal(nameIn('@vm1'), 'vm1')
    assert.equal(nameIn('vm1'), 'vm1')
    for (const address of ['tcp://h:1', 'stdio:', 'exec:ssh vm1']) assert.equal(nameIn(address), undefined)
  })
})

describe('an operand', () => {
  const parsed = (text: string): string => {
    const endpoint = parseEndpoint(text)
    if (endpoint.type === 'standard') return 'standard'
    return endpoint.type === 'local'
      ? `local ${escapedText(endpoint.path)}`
      : `${endpoint.peer ?? ''}:${escapedText(endpoint.path)}`
  }

  it('is a path of a peer where a colon is before its first slash, as with scp [R-676]', () => {
    const operands = {
      'vm1:': 'vm1:',
      'vm1:/a': 'vm1:/a',
      'vm1:a:b': 'vm1:a:b',
      ':a': ':a',
      ':vm1:a': ':vm1:a',
      ':': ':',
    }
    for (const [text, wanted] of Object.entries(operands)) assert.equal(parsed(text), wanted)
  })

  it('is a local path otherwise [R-676]', () => {
    for (const text of ['./vm1:a', '/vm1:a', 'a/b:c', 'vm1', '@vm1', './:a'])
      assert.equal(parsed(text), `local ${text}`)
    assert.equal(parsed('-'), 'standard')
  })

  it('is refused where nobody can tell [R-676]', () => {
    for (const text of ['tcp://h/x', 'a b:c', 'x\uDCFFy:c', '-x:c', 'unix:/x'])
      assert.throws(
        () => parseEndpoint(text),
        (error) => asFailure(error).status === 2,
        text,
      )
  })
})

describe('arguments', async () => {
  const program = await createProgram(capturedContext().context, () => undefined)
  const prepared = (...args: string[]): string => preparedArguments(args, program).join(' ')

  it('name the peer of exec before two dashes, and what it runs without them', () => {
    assert.equal(prepared('exec', '@vm1', '--', 'make', '--', '@x'), 'exec --to=vm1 -- make -- @x')
    assert.equal(prepared('exec', '-w', '@x', '-n', '@vm1', '--', 'ls'), 'exec -w @x -n --to=vm1 -- ls')
    assert.equal(prepared('exec', '@deploy', 'x', '--'), 'exec @deploy x --')
    assert.equal(prepared('exec', '--', '@deploy', '--', 'x'), 'exec -- @deploy -- x')
    assert.equal(prepared('cp', '@a', '--', 'b'), 'cp @a -- b')
    assert.throws(() => prepared('exec', '--to', 'tcp://h:1', '@vm1', '--', 'ls'), /both|so does --to/)
  })

  it('of exec end where its own options say, whichever they are [R-676]', () => {
    const exec = program.commands.find((command) => command.name() === 'exec') ?? new Command()
    for (const { short, long, required, hidden } of exec.options) {
      if (hidden && long !== '--config') continue
      for (const flag of [short, long].filter((one) => one !== undefined)) {
        if (flag === '--wait' || flag === '--keep') continue
        const words = ['exec', flag, ...(required ? ['@value', '--wait'] : ['--wait']), 'prog', '--wait']
        assert.equal(prepared(...words), words.join(' ').replace('--wait', '--wait=for-ever'), flag)
      }
    }
    assert.equal(prepared('exec', '-nw', '/src', 'prog', '--wait'), 'exec -nw /src prog --wait')
    assert.equal(prepared('exec', '-nw/src', '--wait', 'prog', '--wait'), 'exec -nw/src --wait=for-ever prog --wait')
    assert.equal(prepared('exec', '--wait', '5', 'prog', '--wait'), 'exec --wait 5 prog --wait')
  })
})
