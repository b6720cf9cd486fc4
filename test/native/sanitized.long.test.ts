/**
 * The native addon under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer: what it
 * does to memory is right, whatever it is called with. Node itself is not built for them, so only
 * leaks whose memory was taken by the addon count.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { nativeStatus } from '../../src/native/load.ts'
import { ROOT } from '../helpers/root.ts'

const status = nativeStatus()
const operations = join(ROOT, 'test/fixtures/native-operations.mjs')

/**
 * The library that has to be there before anything else of the process; undefined where the
 * compiler has none.
 */
function sanitizer(): string | undefined {
  const path = execFileSync(process.env.CC ?? 'cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
  // a name alone: it was not found
  return path.includes('/') ? path : undefined
}

/**
 * Faults put into a copy of the sources, and what has to be said of each: without these, silence
 * would prove nothing.
 */
const FAULTS = [
  {
    name: 'memory that is too small',
    file: 'watch.c',
    from: 'calloc(1, sizeof *watch)',
    to: 'calloc(1, sizeof *watch - 8)',
    told: /heap-buffer-overflow/,
  },
  {
    name: 'memory that is freed twice',
    file: 'watch.c',
    from: '  free(watch);\n}',
    to: '  free(watch);\n  free(watch);\n}',
    told: /double-free/,
  },
  {
    name: 'memory that is never freed',
    file: 'watch.c',
    from: '  free(watch);\n}',
    to: '  (void)watch;\n}',
    told: /LeakSanitizer: detected memory leaks/,
  },
  {
    name: 'sockets beyond the end of a list',
    file: 'poller.c',
    from: 'size_t room = poller->room * 2 > (size_t)fd ? poller->room * 2 : (size_t)fd + 1;',
    to: 'size_t room = poller->room * 2 > (size_t)fd ? poller->room * 2 : (size_t)fd;',
    told: /heap-buffer-overflow/,
  },
  {
    name: 'arithmetic without a meaning',
    file: 'swap.c',
    from: 'int number = -1,',
    to: 'int number = 1 << (32 + (count == 2 ? 0 : 1)),',
    told: /runtime error: shift exponent/,
  },
]

describe(
  'the native addon, sanitized',
  { skip: 'problem' in status ? status.problem : false, timeout: 120_000 },
  () => {
    let folder = ''
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'trunkline-sanitized-'))
    })
    after(() => {
      rmSync(folder, { recursive: true })
    })

    /** Builds the sources below `root` and calls everything of them. */
    function run(root: string): { code: number | null; output: string } {
      const addon = join(root, 'build/Sanitized/trunkline.node')
      execFileSync(process.execPath, [join(root, 'src/native/build.mjs'), '--sanitize'], { stdio: 'pipe' })
      assert.ok(existsSync(addon))
      const library = sanitizer()
      assert.ok(library !== undefined, 'the compiler has no libasan (Debian has it in libgcc-12-dev)')
      const {
        status: code,
        stdout,
        stderr,
      } = spawnSync(process.execPath, [operations, addon], {
        encoding: 'utf8',
        timeout: 60_000,
        env: {
          ...process.env,
          LD_PRELOAD: library,
          ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0:exitcode=99',
          UBSAN_OPTIONS: 'print_stacktrace=1:exitcode=99',
          // Node's own leaks at its end are not ours to mend: the report is read instead
          LSAN_OPTIONS: 'exitcode=0',
        },
      })
      return { code, output: stdout + stderr }
    }

    /** A copy of the sources, with one thing changed. */
    function copyWith({ file, from, to }: { file: string; from: string; to: string }): string {
      const root = mkdtempSync(join(folder, 'copy-'))
      cpSync(join(ROOT, 'src/native'), join(root, 'src/native'), { recursive: true })
      const path = join(root, 'src/native', file)
      const source = readFileSync(path, 'utf8')
      assert.ok(source.includes(from), `${file} has no ${from}`)
      writeFileSync(path, source.replace(from, to))
      return root
    }

    it('does nothing wrong to memory, in what works and in what fails', () => {
      const root = copyWith({ file: 'module.c', from: '', to: '' })
      const { code, output } = run(root)
      assert.deepEqual(reports(output), [], output)
      assert.equal(code, 0, output)
      assert.match(output, /^done$/m)
    })

    for (const fault of FAULTS) {
      it(`is caught with ${fault.name}`, () => {
        const { output } = run(copyWith(fault))
        const told = reports(output)
        assert.ok(
          told.some((report) => fault.told.test(report)),
          output,
        )
      })
    }
  },
)

const REPORT = /^(?:=+\d+=+ERROR: |.* runtime error: )/

/**
 * What the sanitizers said that concerns the addon: each report begins with a line of its own and
 * is followed by stacks.
 */
function reports(output: string): string[] {
  return output
    .split(new RegExp(`(?=${REPORT.source})`, 'm'))
    .filter((part) => REPORT.test(part) && (!part.includes('LeakSanitizer') || part.includes('/src/native/')))
}
