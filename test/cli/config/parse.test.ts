/** What a configuration says, and what is said of each mistake in one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_MISTAKES, parseConfiguration } from '../../../src/cli/config/parse.ts'
import { isSection, SCHEMA } from '../../../src/cli/config/schema.ts'
import type { Key, Section } from '../../../src/cli/config/schema.ts'

/** `LINE KEY: SENTENCE` of each mistake. */
function mistakesIn(text: string): string[] {
  const outcome = parseConfiguration(text)
  return 'mistakes' in outcome ? outcome.mistakes.map(({ line, key, sentence }) => `${line} ${key}: ${sentence}`) : []
}

const WHOLE = `
[defaults]
wait = 30                       # seconds

[peer.vm1]
to = "serial+unix:///run/vm1.sock"
token-file = "~/.config/trunkline/vm1.token"
forward = ["-L 5432:127.0.0.1:5432", "-D 1080"]
exec = { user = "dev", cwd = "/src" }

[peer."ci-*"]
to = "vsock+unix:///run/ci/%n.vsock?port=7000"
wait = inf

[serve.guest]
address = "vsock://any:7000"
fs = "/srv:ro"
exec = ["/usr/bin/git **"]
`

/** Text with one mistake, and the beginning of what is said of it. */
const MISTAKES: Readonly<Record<string, readonly [text: string, said: RegExp]>> = {
  'an unknown section': [
    '\n[peers.vm1]\nto = "tcp://h:1"\n',
    /^2 peers: there is no such key; there are defaults, peer/,
  ],
  'an unknown key': [
    '[peer.vm1]\nto = "tcp://h:1"\ntoken_file = "/x"\n',
    /^3 peer\.vm1\.token_file: there is no such key/,
  ],
  'an unknown key of a table': [
    '[peer.vm1]\nto = "tcp://h:1"\nexec = { user = "x", dir = "/" }\n',
    /^3 peer\.vm1\.exec\.dir: there is no such key; there are user, cwd/,
  ],
  'a key of an unknown prototype': [
    '[peer.vm1]\nto = "tcp://h:1"\n__proto__ = 1\n',
    /^3 peer\.vm1\.__proto__: there is no/,
  ],
  'a wrong type': ['[peer.vm1]\nto = 7000\n', /^2 peer\.vm1\.to: it is a number, and has to be an address/],
  'a wrong type of wait': [
    '[defaults]\nwait = "30"\n',
    /^2 defaults\.wait: it is text, and has to be a number of seconds/,
  ],
  'a date': ['[defaults]\nwait = 2026-11-30\n', /^2 defaults\.wait: it is a date or time/],
  'a section that is a value': ['peer = 3\n', /^1 peer: it is a number, and has to be a table/],
  'a peer that is a value': ['[peer]\nvm1 = "tcp://h:1"\n', /^2 peer\.vm1: it is text, and has to be a table/],
  'a list of tables': ['[[peer.vm1]]\nto = "tcp://h:1"\n', /^1 peer\.vm1: it is a list, and has to be a table/],
  'a duplicate key': ['[peer.vm1]\nto = "tcp://h:1"\nto = "tcp://h:2"\n', /^3 peer\.vm1\.to: trying to redefine/],
  'a duplicate section': ['[peer.vm1]\nto = "tcp://h:1"\n\n[peer.vm1]\n', /^4 peer\.vm1: trying to redefine/],
  'a missing address': ['# a comment\n[peer.vm1]\nwait = 1\n', /^2 peer\.vm1: it has no to$/],
  'an address without a scheme': [
    '[peer.vm1]\nto = "vm1"\n',
    /^2 peer\.vm1\.to: "vm1" is no address: it begins with no scheme/,
  ],
  'an address of an unknown scheme': [
    '[peer.vm1]\nto = "ssh://h"\n',
    /^2 peer\.vm1\.to: "ssh:\/\/h": there is no transport for "ssh"$/,
  ],
  'seconds out of bounds': ['[defaults]\nwait = 0\n', /^2 defaults\.wait: 0: it is out of bounds/],
  'seconds that are none': ['[defaults]\nwait = nan\n', /^2 defaults\.wait: .*has to be a number of seconds/],
  'a path of the current folder': [
    '[serve.guest]\nfs = "srv"\n',
    /^2 serve\.guest\.fs: "srv": a path begins with \/ or ~\/$/,
  ],
  'a relative token file': [
    '[defaults]\ntoken-file = "vm1.token"\n',
    /^2 defaults\.token-file: "vm1.token": a path begins with \/ or ~\/$/,
  ],
  'a bad forward': [
    '[peer.vm1]\nto = "tcp://h:1"\nforward = [\n  "-D 1080",\n  "-L 5432"\n]\n',
    /^3 peer\.vm1\.forward: entry 2: "-L 5432": It is written \[BIND:\]PORT:HOST:PORT\.$/,
  ],
  'a forward of another option': [
    '[peer.vm1]\nto = "tcp://h:1"\nforward = ["-X 1"]\n',
    /^3 peer\.vm1\.forward: entry 1: "-X 1": a forward is -L/,
  ],
  'a bad rule': ['[serve.guest]\nconnect = ["127.0.0.1"]\n', /^2 serve\.guest\.connect: entry 1: .*write HOST:PORT/],
  'a bad unit': [
    '[serve.guest]\nbudget = ["transferBytes=64X"]\n',
    /^2 serve\.guest\.budget: entry 1: .*64X.* is wanted/,
  ],
  'an unknown budget': ['[serve.guest]\nbudget = ["x=1"]\n', /^2 serve\.guest\.budget: entry 1: .*budgets have no x/],
  'a bad port': ['[serve.guest]\nproxy = "x"\n', /^2 serve\.guest\.proxy: "x": It is written \[BIND:\]PORT\.$/],
  'a named command without a name': [
    '[serve.guest]\nexec-named = ["=x"]\n',
    /^2 serve\.guest\.exec-named: entry 1: .*NAME=COMMAND/,
  ],
  'a switch that is text': [
    '[serve.guest]\nbench = "yes"\n',
    /^2 serve\.guest\.bench: it is text, and has to be true or false$/,
  ],
  'a scheme as a name': [
    '[peer.tcp]\nto = "tcp://h:1"\n',
    /^1 peer\.tcp: a name cannot be the scheme of addresses tcp:$/,
  ],
  'a name that is no word': ['[peer."a b"]\nto = "tcp://h:1"\n', /^1 peer\."a b": a name has 2 to 63 letters/],
  'a name that a terminal would obey': [
    '[peer."\\u001b[2J"]\nto = "tcp://h:1"\n',
    /^1 peer\."\\u001b\[2J": a name has/,
  ],
  'a pattern for a server': ['[serve."g*"]\nfs = "/srv"\n', /^1 serve\."g\*": a name has/],
  'a syntax error': ['[peer.vm1]\nto = tcp://h:1\n', /^2 peer\.vm1\.to: /],
  'a string without an end': ['[peer.vm1]\nto = "tcp://h:1\nwait = 1\n', /^2 peer\.vm1\.to: /],
  'a list without an end': ['[peer.vm1]\nforward = [\n"-D 1",\n', /^\d peer\.vm1\.forward: /],
  'a line that is no statement': ['[defaults]\nwait\n', /^2 defaults\.wait: /],
  'a header without an end': ['[peer.vm1\nto = "tcp://h:1"\n', /^1 /],
  'a number beyond what a number holds': ['[defaults]\nwait = 99999999999999999999\n', /^2 defaults\.wait: /],
  'tables in tables without end': [`x = ${'['.repeat(5000)}\n`, /^1 x: /],
}

describe('the configuration', () => {
  it('says what it says', () => {
    const outcome = parseConfiguration(WHOLE)
    assert.ok('configuration' in outcome, JSON.stringify(outcome))
    const { defaults, peers, serves } = outcome.configuration
    assert.deepEqual(defaults, { wait: 30 })
    assert.deepEqual(peers.get('vm1'), {
      to: 'serial+unix:///run/vm1.sock',
      tokenFile: '~/.config/trunkline/vm1.token',
      forward: ['-L 5432:127.0.0.1:5432', '-D 1080'],
      exec: { user: 'dev', cwd: '/src' },
    })
    assert.deepEqual(peers.get('ci-*'), { to: 'vsock+unix:///run/ci/%n.vsock?port=7000', wait: Infinity })
    assert.deepEqual(serves.get('guest'), { address: 'vsock://any:7000', fs: '/srv:ro', exec: ['/usr/bin/git **'] })
  })

  it('may be written with a byte order mark, with CRLF, and with nothing in it', () => {
    for (const text of [`\uFEFF${WHOLE}`, WHOLE.replaceAll('\n', '\r\n'), '', '# nothing\n'])
      assert.deepEqual(mistakesIn(text), [])
  })

  for (const [what, [text, said]] of Object.entries(MISTAKES)) {
    it(`names line and key of ${what} [R-675]`, () => {
      for (const [form, written] of [
        ['as it is', text],
        ['with CRLF', text.replaceAll('\n', '\r\n')],
        ['with a byte order mark', `\uFEFF${text}`],
      ] as const) {
        const mistakes = mistakesIn(written)
        assert.equal(mistakes.length, 1, `${form}: ${mistakes.join(' | ')}`)
        assert.match(mistakes[0] ?? '', said, form)
      }
    })
  }

  it('says all mistakes in the order of the lines, up to a bound [R-675]', () => {
    const bad = '[peer.vm1]\nto = 1\nwait = 0\n[serve.guest]\nfs = 1\n'
    assert.deepEqual(
      mistakesIn(bad).map((line) => line.split(':')[0]),
      ['2 peer.vm1.to', '3 peer.vm1.wait', '5 serve.guest.fs'],
    )
    const many = Array.from({ length: MAX_MISTAKES + 5 }, (_, i) => `k${i} = 1\n`).join('')
    assert.equal(mistakesIn(many).length, MAX_MISTAKES)
  })

  it('finds a key whatever form its section has [R-675]', () => {
    const forms = [
      '[peer]\nvm1 = { to = "tcp://h:1",\n wait = 0 }\n',
      '[peer]\nvm1.to = "tcp://h:1"\nvm1.wait = 0\n',
      'peer.vm1.to = "tcp://h:1"\npeer.vm1.wait = 0\n',
      '[ peer . "vm1" ] # [peer.x]\nto = """tcp://h:1"""\n"wait" = 0\n',
      "x = '''\n[peer.vm1]\nwait = 0\n'''\n[peer.vm1]\nto = \"tcp://h:1\" # wait = 0\nwait = 0\n",
    ]
    const lines = [2, 3, 2, 3, 7]
    forms.forEach((form, i) => {
      const last = mistakesIn(form).at(-1) ?? ''
      assert.match(last, new RegExp(`^${lines[i]} peer\\.vm1\\.wait: 0: `), form)
    })
  })
})

describe('the schema of the configuration', () => {
  const written = (name: string, { keys }: Section): string =>
    [
      `[${name}]`,
      ...Object.entries(keys).flatMap(([key, entry]) => (isSection(entry) ? [] : [`${key} = ${entry.example}`])),
    ].join('\n')

  it('takes each of its examples', () => {
    const text = [
      written('defaults', SCHEMA.defaults),
      written('peer.vm1', SCHEMA.peer),
      written('peer.vm1.exec', SCHEMA.peer.keys['exec'] as Section),
      written('serve.guest', SCHEMA.serve),
    ].join('\n')
    assert.deepEqual(mistakesIn(text), [])
  })

  it('takes no value of another type for any key', () => {
    const values = ['[]', '1979-05-27', '{ }', '"\\u0000"', '-1', 'true']
    const accepted: string[] = []
    const check = (header: string, key: string, entry: Key): void => {
      for (const value of values) {
        const said = mistakesIn(`[${header}]\n${key} = ${value}\n`).filter((line) => line.includes(`.${key}: `))
        if (said.length === 0) accepted.push(`${entry.kind} ${value}`)
      }
    }
    for (const [header, section] of [
      ['peer.vm1', SCHEMA.peer],
      ['serve.guest', SCHEMA.serve],
    ] as const)
      for (const [key, entry] of Object.entries(section.keys)) if (!isSection(entry)) check(header, key, entry)
    const lists = ['rules', 'forwards', 'commands', 'named commands', 'users', 'budgets'].map((kind) => `${kind} []`)
    assert.deepEqual([...new Set(accepted)].sort(), [...lists, 'switch true'].sort())
  })
})
