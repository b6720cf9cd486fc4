/**
 * Programs that people use, on a terminal at the peer and on one of this machine: tmux draws both,
 * and after each step both show the same, colours, cursor and modes included.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BINARY, serving, type Serving } from '../helpers/command-line.ts'
import { installed } from '../helpers/installed.ts'
import { endWithTests } from '../helpers/left-children.ts'
import { Screens, type Seen } from '../helpers/screens.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const BOTH = ['local', 'remote'] as const
type Side = (typeof BOTH)[number]
type Size = readonly [columns: number, rows: number]
/** Keys to type or a new size, and what is shown then: on both alike, unless it tells times. */
type Step = readonly [act: readonly string[] | { readonly size: Size }, shown: RegExp, isAlike?: false]

const START: Size = [90, 24]
const WIDER: Size = [117, 31]
const NARROWER: Size = [61, 17]
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`
/** A shell as the same user has it everywhere. */
const SHELL = ['bash', '--norc', '--noprofile']

describe('programs on a terminal of the peer', { skip: process.platform !== 'linux' && 'not Linux' }, () => {
  const folder = temporaryFolder()
  /** What both sides' programs have of an environment. */
  const env = { PATH: process.env['PATH'] ?? '', HOME: folder, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', PS1: '$ ' }
  /** A shell of ours in the folder. $SIDE tells where it runs, to give each files of its own. */
  const inFolder = (side: Side): string[] => [
    ...['env', '-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
    ...['TERM=tmux-256color', `SIDE=${side}`, 'sh', '-c', `cd ${folder}; exec ${SHELL.join(' ')}`],
  ]
  let screens: Screens
  let server: Serving

  before(async () => {
    installed({ bash: 'bash', vim: 'vim', less: 'less', htop: 'htop', python3: 'python3', tmux: 'tmux' })
    server = await serving(['--exec', 'any'], `unix://${join(folder, 's')}`)
    const lines = Array.from({ length: 500 }, (_, at) => `${at + 1} ${'= '.repeat(at % 60)}grün`)
    writeFileSync(join(folder, 'text'), `${lines.join('\n')}\n`)
    screens = await Screens.start(folder, env)
  })
  after(async () => {
    await server.stop()
  })

  /**
   * A terminal here and one whose program runs at the peer; both say how it has ended, and what has
   * become of the terminal.
   */
  function open(local: readonly string[], remote: readonly string[]): void {
    const then = ['sh', '-c', '"$@"; echo "status $?"; stty -a; exec cat', 'sh']
    screens.open('local', START, [...then, ...local])
    screens.open('remote', START, [...then, process.execPath, BINARY, ...remote])
  }

  /** The same on both; resolves when both show what is expected, and the same as the other. */
  async function go(steps: readonly Step[]): Promise<void> {
    for (const [act, shown, isAlike = true] of steps) {
      if ('size' in act) screens.resize(BOTH, act.size)
      else screens.type(BOTH, ...act)
      let [local, remote]: (Seen | undefined)[] = []
      await screens.until(
        () => {
          ;[local, remote] = screens.look(BOTH)
          if (local === undefined || remote === undefined) return false
          return shown.test(local.text) && (isAlike ? local.whole === remote.whole : shown.test(remote.text))
        },
        () => {
          const what = `after ${JSON.stringify(act)}, ${shown}`
          return shown.test(local?.text ?? '')
            ? new assert.AssertionError({ message: what, actual: remote?.whole, expected: local?.whole })
            : new Error(`${what} is not shown here:\n${local?.text}`)
        },
      )
    }
  }

  async function alike(remote: readonly string[], steps: readonly Step[]): Promise<void> {
    open(inFolder('local'), remote)
    try {
      if (remote[0] === 'shell') await giveItsPlace()
      await go([[[], /^\$$/], ...steps, ENDS])
    } finally {
      screens.close(BOTH)
    }
  }

  /**
   * The user's own shell reads files that are the user's own, which may wait for a lock for longer
   * than a test has: Ctrl-C ends that. Then it gives its place to ours.
   */
  async function giveItsPlace(): Promise<void> {
    const shown = (): string => screens.look(['remote'])[0]?.text ?? ''
    let asked = 0
    await screens.until(
      () => {
        if (/[$#%>]$/.test(shown())) return true
        asked += 1
        if (asked % 100 === 0) screens.type(['remote'], 'C-c')
        return false
      },
      () => new Error(`no prompt: ${shown()}`),
      60_000,
    )
    screens.type(['remote'], `clear; exec ${inFolder('remote').map(quoted).join(' ')}`, 'Enter')
  }

  /** In a shell with job control, over `exec -t`. */
  const inShell = (steps: readonly Step[]): Promise<void> => {
    return alike(['exec', '--to', server.address, '-t', ...inFolder('remote')], steps)
  }
  /** As before it began: after a `clear` both show the same, whatever was typed to begin. */
  const ENDS: Step = [['exit', 'Enter'], /^status 0\n(?:.*\n)*isig icanon iexten echo /m]
  const STOPPED: Step = [['C-z'], /^\[1\]\+ +Stopped .*\n\$$/m]

  it('[R-880] bash has job control, and every size [X30]', async () => {
    await alike(
      ['shell', '--to', server.address],
      [
        [['stty size; tty -s && echo $TERM', 'Enter'], /^24 90\ntmux-256color$/m],
        [['sleep 100', 'Enter'], /sleep 100$/],
        [['C-z'], /^\^Z\n\[1\]\+ +Stopped +sleep 100\n\$$/m],
        [['jobs', 'Enter'], /^\$ jobs\n\[1\]\+ +Stopped +sleep 100\n\$$/m],
        [['bg; jobs', 'Enter'], /^\[1\]\+ +Running +sleep 100 &\n\$$/m],
        [['fg', 'Enter'], /^\$ fg\nsleep 100$/m],
        [['C-c'], /^\^C\n\$$/m],
        [['echo $?', 'Enter'], /^130\n\$$/m],
        [['sleep 100', 'Enter'], /sleep 100$/],
        [['C-\\'], /^\^\\Quit.*\n\$$/m],
        [['cat', 'Enter'], /\$ cat$/],
        [['grüm', 'BSpace', 'n', 'Enter'], /^grün\ngrün$/m],
        [['C-d'], /^grün\n\$$/m],
        [['echo half', 'C-u', 'echo ab', 'Left', 'BSpace', 'x', 'Enter'], /^xb\n\$$/m],
        [{ size: WIDER }, /./],
        [['stty size; echo $COLUMNS', 'Enter'], /^31 117\n117$/m],
        [['seq 1 40', 'Enter'], /^39\n40\n\$$/m],
        [{ size: NARROWER }, /./],
        [[`echo${' a-longish-word-that-wraps'.repeat(3)}; stty size`, 'Enter'], /^17 61$/m],
      ],
    )
  })

  it('[R-881] vim draws, stops, goes on and is resized as here', async () => {
    await inShell([
      [
        ['clear; vim -u NONE -N -n --cmd "set ruler number nocursorline" text', 'Enter'],
        /^ +1 1 grün(.*\n)*.*1,1 +Top/,
      ],
      [['3G', 'o', 'inserted: grün', 'Escape'], /^ +4 inserted: grün$/m],
      [['/7 = =', 'Enter'], /^\/7 = =/m],
      [[':vsplit', 'Enter', 'C-w', 'l', 'G'], /500/],
      [{ size: WIDER }, /\n.*\n.*$/],
      [[':echo &columns &lines', 'Enter'], /^117 31$/m],
      [['i'], /-- INSERT --/],
      [['C-c'], /^(?![^]*INSERT)/],
      STOPPED,
      [{ size: NARROWER }, /./],
      [['fg', 'Enter'], /500 /],
      [[':echo &columns &lines', 'Enter'], /^61 17$/m],
      [[':syntax on | set hlsearch ft=sh', 'Enter', 'gg', 'V', 'j', 'j'], /VISUAL LINE/],
      [['Escape', ':qa!', 'Enter'], /\$$/],
      [['stty size', 'Enter'], /^17 61$/m],
    ])
  })

  it('[R-882] less scrolls, searches, stops and is resized as here', async () => {
    await inShell([
      [['clear; less -N text', 'Enter'], /^ +1 1 grün$/m],
      [['Space'], /^ +24 24 /m],
      [['/^321', 'Enter'], /^ +321 321 /m],
      [['G'], /\(END\)/],
      [['F'], /Waiting for data/],
      [['C-c'], /^ +500 500 (.*\n)*(:|\(END\))$/m],
      [['g'], /^ +1 1 grün$/m],
      [{ size: WIDER }, /^ +30 30 /m],
      STOPPED,
      [{ size: NARROWER }, /./],
      [['fg', 'Enter'], /^ +1 1 grün(.*\n)*:/m],
      [['q'], /\$$/],
      [['stty size', 'Enter'], /^17 61$/m],
    ])
  })

  it('[R-883] htop takes its keys and its sizes as here', async () => {
    const one = spawn('sleep', ['1000'], { stdio: 'ignore' })
    endWithTests(one)
    const settings = ['htop_version=3.2.2', 'config_reader_min_version=3', 'header_layout=one_100', 'delay=100']
    const meters = ['column_meters_0=Hostname', 'column_meter_modes_0=2', 'tree_view=0', 'enable_mouse=1']
    const columns = ['screen:Main=PID USER PRIORITY NICE Command', '.sort_key=PID', '']
    writeFileSync(join(folder, 'htoprc'), [...settings, ...meters, ...columns].join('\n'))
    await inShell([
      [[`clear; HTOPRC=${folder}/htoprc htop -p ${one.pid}`, 'Enter'], /sleep 1000/],
      [['F1'], /^htop 3/m],
      [['Escape'], /sleep 1000(.*\n){15,}.*F10Quit/],
      [{ size: WIDER }, /sleep 1000(.*\n){22,}.*F10Quit/],
      [['/', 'slee'], /^.*Search: slee/m],
      [['Escape', 'F9'], /Send signal:/],
      [['Escape'], /sleep 1000(.*\n){15,}.*F10Quit/],
      STOPPED,
      [{ size: NARROWER }, /./],
      [['fg', 'Enter'], /sleep 1000/],
      [['C-c'], /\$$/],
      [['stty size', 'Enter'], /^17 61$/m],
    ])
  })

  it('[R-884] python reads lines, is interrupted, stops and goes on as here', async () => {
    await inShell([
      [['clear; python3 -q', 'Enter'], /^>>>$/],
      [['6 * 7', 'Enter'], /^42$/m],
      [['for i in range(3):', 'Enter', '  print("grün", i)', 'Enter', 'Enter'], /^grün 2\n>>>$/m],
      [['Up', 'Up', 'C-a'], />>> +for|>>> /],
      [['C-c'], /^KeyboardInterrupt\n>>>$/m],
      [['import time; print("asleep"); time.sleep(100)', 'Enter'], /^asleep$/m],
      [['C-c'], /KeyboardInterrupt\n>>>$/m],
      [{ size: WIDER }, /./],
      [['import os; os.get_terminal_size()', 'Enter'], /columns=117, lines=31/],
      STOPPED,
      [['fg', 'Enter', 'Enter', '"on"', 'Enter'], /^'on'\n>>>$/m],
      [['C-d'], /\$$/],
      [['stty size', 'Enter'], /^31 117$/m],
    ])
  })

  it('[R-885] apt-get asks, shows how far it is, and installs as here', async () => {
    installed({ 'apt-get': 'apt', 'dpkg-deb': 'dpkg' })
    makePackage(folder)
    for (const side of BOTH) makeRoot(folder, side)
    const apt = 'clear; APT_CONFIG=$SIDE.conf apt-get -o Dpkg::Progress-Fancy=1'
    await inShell([
      [[`${apt} install ./trunkline-hello.deb`, 'Enter'], /^Setting up trunkline-hello \(1\.0\) \.\.\.\n\$$/m],
      [['clear; cat $SIDE/usr/share/trunkline-hello/said', 'Enter'], /^hello\n\$$/m],
      [[`${apt} remove trunkline-hello`, 'Enter'], /Do you want to continue\? \[Y\/n\]$/],
      [['n', 'Enter'], /^Abort\.\n\$$/m],
      [[`${apt} remove trunkline-hello`, 'Enter'], /Do you want to continue\? \[Y\/n\]$/],
      [['y', 'Enter'], /^Removing trunkline-hello \(1\.0\) \.\.\.\n\$$/m],
      [['clear; cd $SIDE; ls usr; stty size', 'Enter'], /^24 90\n\$$/m],
    ])
  })

  it('[R-886] npm installs as here', async () => {
    installed({ npm: 'npm' })
    mkdirSync(join(folder, 'dependency'))
    const manifest = { name: 'trunkline-hello', version: '1.0.0', bin: './hello.js' }
    writeFileSync(join(folder, 'dependency', 'package.json'), JSON.stringify(manifest))
    writeFileSync(join(folder, 'dependency', 'hello.js'), '#!/usr/bin/env node\nconsole.log("hello")\n')
    for (const side of BOTH) {
      mkdirSync(join(folder, `${side}-app`))
      writeFileSync(join(folder, `${side}-app`, 'package.json'), '{"name":"app","version":"1.0.0","private":true}')
    }
    const options = '--offline --no-audit --no-fund --no-update-notifier --install-links'
    await inShell([
      [['cd $SIDE-app; clear', 'Enter'], /^\$$/],
      [[`npm install ${options} ../dependency`, 'Enter'], /^added 1 package in .*\n\$$/m, false],
      [['clear; node_modules/.bin/trunkline-hello; stty -a', 'Enter'], /^hello\n(?:.*\n)*isig icanon iexten echo /m],
    ])
  })
})

/** A package of Debian's with one file. */
function makePackage(folder: string): void {
  const files = join(folder, 'trunkline-hello')
  mkdirSync(join(files, 'DEBIAN'), { recursive: true })
  mkdirSync(join(files, 'usr/share/trunkline-hello'), { recursive: true })
  const control = ['Package: trunkline-hello', 'Version: 1.0', 'Architecture: all', 'Maintainer: none <none@localhost>']
  writeFileSync(join(files, 'DEBIAN/control'), `${control.join('\n')}\nDescription: says hello\n`)
  writeFileSync(join(files, 'usr/share/trunkline-hello/said'), 'hello\n')
  execFileSync('dpkg-deb', ['--build', '--root-owner-group', files], { stdio: 'ignore' })
}

/** A system of its own for apt-get and dpkg, with nothing in it; needs no rights, no network. */
function makeRoot(folder: string, side: Side): void {
  const root = join(folder, side)
  const state = ['var/lib/dpkg/info', 'var/lib/dpkg/updates', 'var/lib/dpkg/triggers', 'state/lists/partial']
  const settings = ['etc/apt.conf.d', 'etc/sources.list.d', 'etc/preferences.d', 'cache/archives/partial', 'log']
  for (const path of [...state, ...settings]) mkdirSync(join(root, path), { recursive: true })
  for (const path of ['var/lib/dpkg/status', 'etc/sources.list']) writeFileSync(join(root, path), '')
  const lines = [
    `Dir::State "${root}/state";`,
    `Dir::State::status "${root}/var/lib/dpkg/status";`,
    `Dir::Cache "${root}/cache";`,
    `Dir::Log "${root}/log";`,
    `Dir::Etc "${root}/etc";`,
    'APT::Sandbox::User "";',
    `DPkg::Options { "--root=${root}"; "--force-not-root"; "--log=${root}/log/dpkg.log"; };`,
  ]
  writeFileSync(join(folder, `${side}.conf`), `${lines.join('\n')}\n`)
}
