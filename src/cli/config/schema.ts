/**
 * What a configuration may hold: one table, from which a file is checked (parse.ts) and
 * docs/reference/configuration.md is made (test/docs/configuration.ts). A key is called as the
 * option that it stands in for.
 */
import type { KindName } from './kinds.ts'

/** One key: the kind of its value, and what it is for. */
export interface Key {
  readonly kind: KindName
  readonly about: string
  /** A value, as it is written. */
  readonly example: string
  readonly required?: true
}

/** The keys of a section, or of a table in it. */
export interface Section {
  readonly about: string
  readonly keys: Readonly<Record<string, Key | Section>>
}

const TOKEN_FILE: Key = {
  kind: 'path',
  about: 'the file with the secret that both sides have, as `--token-file`',
  example: '"~/.config/trunkline/vm1.token"',
}
const WAIT: Key = {
  kind: 'seconds',
  about: 'how long a command waits until the peer is there, as `--wait`; `inf` is for ever',
  example: '30',
}

/**
 * The sections: `[defaults]`, and `[peer.NAME]` and `[serve.NAME]`, of which there may be any
 * number.
 */
export const SCHEMA: Readonly<Record<'defaults' | 'peer' | 'serve', Section>> = {
  defaults: {
    about: 'What holds for each named peer whose own section does not say it.',
    keys: { wait: WAIT, 'token-file': TOKEN_FILE },
  },
  peer: {
    about: 'A peer that commands may name. In a pattern such as `"ci-*"` the name is `%n`.',
    keys: {
      to: {
        kind: 'address',
        about: 'the address, as `--to`; `%n` is the name',
        example: '"serial+unix:///run/vm1.sock"',
        required: true,
      },
      'token-file': TOKEN_FILE,
      wait: WAIT,
      forward: {
        kind: 'forwards',
        about:
          'what `forward` forwards where its command line says nothing of it: `-L`, `-R`, `-D`, `--allow`, `--listen`',
        example: '["-L 5432:127.0.0.1:5432", "-D 1080"]',
      },
      exec: {
        about: 'How `exec` runs programs there.',
        keys: {
          user: { kind: 'text', about: 'as whom, as `--user`', example: '"dev"' },
          cwd: { kind: 'text', about: 'where, as `--directory`', example: '"/src"' },
        },
      },
    },
  },
  serve: {
    about: 'What `trunkline serve @NAME` serves, and where.',
    keys: {
      address: { kind: 'address', about: 'where, as the argument', example: '"vsock://any:7000"' },
      fs: { kind: 'path', about: 'a directory, as `--fs`; `:ro` for reading only', example: '"/srv:ro"' },
      connect: { kind: 'rules', about: 'as `--connect`', example: '["127.0.0.1:5432"]' },
      listen: { kind: 'rules', about: 'as `--listen`', example: '["127.0.0.1:*"]' },
      proxy: { kind: 'port', about: 'as `--proxy`', example: '"1080"' },
      allow: { kind: 'rules', about: 'as `--allow`', example: '["example.com:443"]' },
      http: { kind: 'switch', about: 'as `--http`', example: 'true' },
      'proxy-auth-file': { kind: 'path', about: 'as `--proxy-auth-file`', example: '"~/.config/trunkline/proxy.auth"' },
      'insecure-bind': { kind: 'switch', about: 'as `--insecure-bind`', example: 'true' },
      exec: { kind: 'commands', about: 'as `--exec`', example: '["/usr/bin/git **"]' },
      'exec-named': {
        kind: 'named commands',
        about: 'as `--exec-named`',
        example: '["deploy=/usr/local/bin/deploy **"]',
      },
      'exec-user': { kind: 'users', about: 'as `--exec-user`', example: '["dev"]' },
      'exec-new-privileges': { kind: 'switch', about: 'as `--exec-new-privileges`', example: 'true' },
      'exec-without-token': { kind: 'switch', about: 'as `--exec-without-token`', example: 'true' },
      bench: { kind: 'switch', about: 'as `--bench`', example: 'true' },
      budget: { kind: 'budgets', about: 'as `--budget`', example: '["transferBytes=64M"]' },
      'token-file': { ...TOKEN_FILE, about: 'admit only peers that have its secret, as `--token-file`' },
    },
  },
}

/** True for a table of keys, false for a key. */
export function isSection(entry: Key | Section): entry is Section {
  return 'keys' in entry
}
