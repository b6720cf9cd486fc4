/**
 * The host's side of a virtual serial port: a hypervisor's character-device socket, here played by
 * the test, and a command.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { connect as dial, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { serial } from '../../transports/serial.ts'
import { unix } from '../../transports/unix.ts'
import { of, transportOptions } from '../conformance/transport-suite.ts'
import { eventually } from '../helpers/eventually.ts'
import { directEnd, readAll, readBytes, seededBytes } from '../helpers/link-traffic.ts'
import { freePort, loopbackServer, textOf } from '../helpers/loopback.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = temporaryFolder()
let paths = 0
const freshPath = (): string => join(folder, `${paths++}.sock`)
const soon = (limits: Parameters<typeof transportOptions>[1] = {}): TransportOptions =>
  transportOptions(undefined, { reconnectMinMs: 2, reconnectMaxMs: 10, ...limits })

/**
 * A character-device socket as QEMU has it: one client at a time, and an end of one side closes
 * both.
 */
async function hypervisor(socket: string, onClient: (client: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: false }, (client) => {
    client.on('error', () => undefined)
    onClient(client)
  })
  server.listen(socket)
  await once(server, 'listening')
  return server
}

const closed = async (server: Server): Promise<void> => {
  server.close()
  await once(server, 'close')
}

describe('connecting to a character-device socket', () => {
  it('waits until the hypervisor has made it', async () => {
    const before = countHandles()
    const socket = freshPath()
    const connecting = serial({ socket }).connect(soon())
    await assert.rejects(serial({ socket }).connect(soon({ connectTimeoutMs: 5 })), { code: 'ERR_CONNECT_REFUSED' })
    const server = await hypervisor(socket, (client) => client.end('booting'))
    const link = await connecting
    assert.equal((await readAll(link)).toString(), 'booting')
    await link.close()
    await closed(server)
    await nothingLeft(before)
  })

  it('says after the time what the last attempt met, and how long it waited [R-108]', async () => {
    const before = countHandles()
    const refused = serial({ port: await freePort() }).connect(soon({ connectTimeoutMs: 30 }))
    await assert.rejects(refused, (error: Error & { code: string; scope: string }) => {
      assert.deepEqual([error.code, error.scope], ['ERR_CONNECT_REFUSED', 'link'])
      return error.message.includes('30 ms') && (error.cause as { code: string }).code === 'ECONNREFUSED'
    })
    await nothingLeft(before)
  })

  it('does not end one side, and lets what was written leave before it closes', async () => {
    const before = countHandles()
    const bytes = seededBytes(3, 3_000_000)
    let heard: Promise<Buffer> | undefined
    let ended = false
    const server = await hypervisor(freshPath(), (client) => {
      client.on('end', () => (ended = true))
      // the guest reads late: everything is still on its way when our side closes
      heard = (async () => {
        const chunks: Buffer[] = []
        for await (const chunk of client as AsyncIterable<Buffer>) chunks.push(chunk)
        return Buffer.concat(chunks)
      })()
      client.write('answer')
    })
    const link = await serial({ socket: server.address() as string }).connect(soon())
    await link.sink(of(bytes.subarray(0, 1_000_000)))
    assert.equal((await readBytes(link, 6)).toString(), 'answer')
    assert.equal(ended, false)
    await link.close()
    assert.ok((await heard)?.equals(bytes.subarray(0, 1_000_000)), 'all of it')
    await closed(server)
    await nothingLeft(before)
  })
})

describe('the direct interface of a serial line', () => {
  it('does not end one side either', async () => {
    let ended = false
    const server = await hypervisor(freshPath(), (client) => {
      client.on('end', () => (ended = true))
      client.once('data', () => client.write('answer'))
    })
    const link = await serial({ socket: server.address() as string }).connect(soon())
    const end = directEnd(link.direct!)
    await end.write(Buffer.from('question'), 1)
    await end.arrived(6)
    assert.equal(ended, false)
    await link.close()
    await eventually(() => ended, 'the hypervisor sees the end')
    await closed(server)
  })
})

describe('listening at a character-device socket of the hypervisor’s', () => {
  it('connects, and again whenever the connection is over', async () => {
    const before = countHandles()
    const socket = freshPath()
    const listener = await serial({ socket }).listen(soon())
    const links = listener[Symbol.asyncIterator]()
    let client: Socket | undefined
    const server = await hypervisor(socket, (accepted) => {
      client = accepted
      accepted.resume()
    })
    for (const ending of ['theirs', 'ours', 'cut', 'theirs']) {
      const { value: link } = (await links.next()) as { value: Link }
      await link.sink(of(Buffer.from(ending)))
      await eventually(() => client?.bytesRead === ending.length, 'the hypervisor has it')
      if (ending === 'cut') link.abort(new Error('enough'))
      if (ending === 'theirs') {
        client?.end()
        await readAll(link)
      }
      await link.close()
      client = undefined
    }
    await listener.close()
    await closed(server)
    await nothingLeft(before)
  })
})

describe('listening where the hypervisor connects', () => {
  it('lets one connection after the other have the line, and refuses more than one that waits', async () => {
    const before = countHandles()
    const socket = freshPath()
    const listener = await serial({ socket, listen: true }).listen(soon())
    assert.equal(listener.address, `serial+unix://${socket}?listen`)
    const links = listener[Symbol.asyncIterator]()
    const client = (text = ''): Socket => {
      const connected = dial({ path: socket })
      connected.end(text)
      return connected
    }
    client('first')
    const { value: first } = (await links.next()) as { value: Link }
    client('second')
    const taken = links.next()
    let turn = 'first'
    void taken.then(() => (turn = 'second'))
    // the third is refused while the second waits
    assert.equal(await textOf(client()), '')
    assert.equal((await readAll(first)).toString(), 'first')
    assert.equal(turn, 'first')
    await first.close()
    const { value: second } = (await taken) as { value: Link }
    assert.equal((await readAll(second)).toString(), 'second')
    await listener.close()
    await second.close()
    assert.ok(!existsSync(socket), 'the file is gone')
    await nothingLeft(before)
  })

  it('lets a group connect where it is told to, and nobody else before that [R-469]', async () => {
    const socket = freshPath()
    const own = process.getgroups?.().at(-1) ?? 0
    for (const [access, mode] of [
      [{ mode: 0o660 }, 0o660],
      [{ group: String(own) }, 0o660],
      [{ mode: 0o666, group: String(own) }, 0o666],
      [{}, 0o600],
    ] as const) {
      const listener = await serial({ socket, listen: true, ...access }).listen(soon())
      const found = lstatSync(socket)
      assert.equal(found.mode & 0o7777, mode)
      if ('group' in access) assert.equal(found.gid, own)
      assert.ok(listener.address.endsWith(Object.keys(access).length === 0 ? '?listen' : `=${own}`) || 'mode' in access)
      await listener.close()
    }
    const strange = serial(`serial+unix://${socket}?listen&group=no-such-group`)
    await assert.rejects(strange.listen(soon()), { code: 'ERR_BIND_DENIED', message: /no group no-such-group/ })
    assert.ok(!existsSync(socket))
  })

  it('takes a name from the list of groups [R-469]', async () => {
    const socket = freshPath()
    const [name, , gid] = (readFileSync('/etc/group', 'utf8').split('\n')[0] ?? '').split(':')
    if (process.getuid?.() !== 0 && !process.getgroups?.().includes(Number(gid))) {
      await assert.rejects(unix({ path: socket, group: name! }).listen(soon()), { code: 'ERR_BIND_DENIED' })
      return
    }
    const listener = await unix({ path: socket, group: name! }).listen(soon())
    assert.deepEqual([lstatSync(socket).gid, lstatSync(socket).mode & 0o777], [Number(gid), 0o660])
    await listener.close()
  })

  it('listens at a TCP port as well, for one after the other', async () => {
    const before = countHandles()
    const listener = await serial('serial+tcp://127.0.0.1:0?listen').listen(soon())
    const [, port] = /^serial\+tcp:\/\/127\.0\.0\.1:(\d+)\?listen$/.exec(listener.address) ?? []
    assert.ok(Number(port) > 0, listener.address)
    const links = listener[Symbol.asyncIterator]()
    for (const text of ['first', 'second']) {
      dial({ port: Number(port), host: '127.0.0.1' }).end(text)
      const { value: link } = (await links.next()) as { value: Link }
      assert.equal((await readAll(link)).toString(), text)
      await link.close()
    }
    await listener.close()
    // and once, for who connects
    const connecting = serial(`serial+tcp://127.0.0.1:${port}?listen`).connect(soon())
    let caller: Socket | undefined
    await eventually(() => {
      if (caller === undefined || caller.destroyed) caller = dial({ port: Number(port), host: '127.0.0.1' })
      caller.on('error', () => undefined) // it does not listen yet
      return caller.readyState === 'open'
    }, 'it listens')
    const link = await connecting
    caller?.end()
    await link.close()
    await nothingLeft(before)
  })

  it('gives the first connection to who connects, and then listens no more', async () => {
    const before = countHandles()
    const socket = freshPath()
    const connecting = serial(`serial+unix://${socket}?listen`).connect(soon())
    await eventually(() => existsSync(socket), 'it listens')
    const client = dial({ path: socket })
    const link = await connecting
    assert.ok(!existsSync(socket), 'the file is gone')
    client.end('here')
    assert.equal((await readAll(link)).toString(), 'here')
    await link.close()
    await nothingLeft(before)
  })

  it('gives up in time, and with the reason of the signal [R-047]', async () => {
    const before = countHandles()
    const transport = serial({ socket: freshPath(), listen: true })
    await assert.rejects(transport.connect(soon({ connectTimeoutMs: 20 })), {
      code: 'ERR_CONNECT_TIMEOUT',
      scope: 'link',
    })
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const connecting = transport.connect(transportOptions(controller.signal))
    setImmediate(() => controller.abort(reason))
    await assert.rejects(connecting, (error) => error === reason)
    await nothingLeft(before)
  })

  it('fails with a code where someone else listens [R-113]', async () => {
    const socket = freshPath()
    const server = await hypervisor(socket, () => undefined)
    const transport = serial({ socket, listen: true })
    await assert.rejects(transport.listen(soon()), { code: 'ERR_ADDRESS_IN_USE' })
    await assert.rejects(transport.connect(soon()), { code: 'ERR_ADDRESS_IN_USE' })
    await closed(server)
  })
})

describe('a character device over TCP', () => {
  it('is connected to', async () => {
    const server = await loopbackServer((socket) => socket.end('login: '))
    const link = await serial(`serial+tcp://127.0.0.1:${server.port}`).connect(soon())
    assert.equal((await readAll(link)).toString(), 'login: ')
    await link.close()
    server.close()
  })
})

describe('a command as a serial line', () => {
  it('is spoken with, and ended by close', async () => {
    const before = countHandles()
    const link = await serial('serial+exec:cat').connect(soon())
    await link.sink(of(Buffer.from('to and fro')))
    assert.equal((await readBytes(link, 10)).toString(), 'to and fro')
    await link.close()
    await nothingLeft(before)
  })

  it('is run again whenever it is over, where a server listens at it', async () => {
    const before = countHandles()
    const listener = await serial({ command: 'sh', args: ['-c', 'echo $$'] }).listen(soon())
    const pids = new Set<string>()
    for await (const link of listener) {
      pids.add((await readAll(link)).toString())
      await link.close()
      if (pids.size === 3) break
    }
    await listener.close()
    await nothingLeft(before)
  })

  it('fails at once where there is no such command', async () => {
    const transport = serial('serial+exec:no-such-command-anywhere')
    await assert.rejects(transport.connect(soon()), { code: 'ERR_CONNECT_REFUSED' })
    await assert.rejects(transport.listen(soon()), { code: 'ERR_CONNECT_REFUSED' })
  })
})
