import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { exec } from '../../transports/stdio.ts'
import { readAll } from '../helpers/link-traffic.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { typeScript } from '../helpers/typescript.ts'

const folder = temporaryFolder()
const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }

const script = (code: string) => exec({ command: process.execPath, args: ['-e', code], stderr: 'ignore' })

describe('exec', () => {
  it('cannot be listened at', async () => {
    await assert.rejects(exec('exec:cat').listen(options), { code: 'ERR_UNSUPPORTED' })
  })

  it('says that a command cannot be started, and leaves nothing', async () => {
    const before = countHandles()
    await assert.rejects(exec('exec:no-such-command-anywhere').connect(options), { code: 'ERR_CONNECT_REFUSED' })
    await assert.rejects(exec(`exec:'${folder}'`).connect(options), { code: 'ERR_DENIED' })
    await nothingLeft(before)
  })

  it('names the status of a command that fails before the end', async () => {
    const link = await script('process.stdout.write("half"); process.exitCode = 7').connect(options)
    const chunks: string[] = []
    const reading = (async () => {
      for await (const chunk of link.source) chunks.push(Buffer.from(chunk.subarray()).toString())
    })()
    await assert.rejects(reading, (error: Error & { code: string }) => {
      assert.equal(error.code, 'ERR_LINK_LOST')
      assert.match(error.message, /exited with status 7$/)
      return true
    })
    assert.deepEqual(chunks, ['half'])
    await link.close()
  })

  it('names the signal that ended a command', async () => {
    const link = await script('process.kill(process.pid, "SIGTERM")').connect(options)
    await assert.rejects(readAll(link), /was ended by SIGTERM$/)
    await link.close()
  })

  it('ends where a command ends well, and lets it speak after our end', async () => {
    const link = await exec('exec:sh -c "cat; echo; echo done"').connect(options)
    await link.sink(
      (async function* () {
        yield Buffer.from('to and fro')
      })(),
    )
    assert.equal((await readAll(link)).toString(), 'to and fro\ndone\n')
    await link.close()
  })

  it('kills a command that ignores the end of its input, when close has waited', async () => {
    const before = countHandles()
    const limits = { ...DEFAULT_LIMITS, closeTimeoutMs: 200 }
    const link = await exec('exec:sleep 1000').connect({ ...options, limits })
    await link.close()
    await nothingLeft(before)
  })
})

describe('stdio', () => {
  const module = JSON.stringify(new URL('../../transports/stdio.ts', import.meta.url).href)
  const code = `import(${module}).then(async ({ stdio }) => {
    const options = { signal: new AbortController().signal, clock: { after: () => undefined }, limits: {} }
    for (const _ of [1, 2]) await stdio().connect(options).catch((error) => console.error(error.code))
  })`

  /** Runs a program that tries to take its stdio twice; what it wrote to stderr. */
  const tries = (redirection: string): Promise<string> =>
    new Promise((resolve) => {
      const command = `"$0" "$@" ${redirection}`
      const child = execFile(
        'sh',
        ['-c', command, process.execPath, ...typeScript('-e', code)],
        (_error, _stdout, stderr) => {
          resolve(stderr.trim())
        },
      )
      child.stdin?.end()
    })

  it('can be taken once in a process’s life', async () => {
    assert.equal(await tries(''), 'ERR_TRANSPORT_UNAVAILABLE')
  })

  it('is not there where stdin or stdout is no pipe and no socket', async () => {
    const twice = 'ERR_TRANSPORT_UNAVAILABLE\nERR_TRANSPORT_UNAVAILABLE'
    const told = await Promise.all(['< /dev/null', '> /dev/null', '<&-'].map(tries))
    assert.deepEqual(told, [twice, twice, twice])
  })
})
