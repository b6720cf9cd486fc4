import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stallingBytes } from '../../transports/serial/stalling-driver.ts'
import { serial, type SerialOptions } from '../../transports/serial.ts'

const written = (address: string): string => serial(address).address

describe('serial addresses', () => {
  it('are a device and how its line is set up', () => {
    assert.equal(written('serial:///dev/ttyS1'), 'serial:///dev/ttyS1')
    assert.equal(written('serial:///dev/ttyS1?baud=9600'), 'serial:///dev/ttyS1?baud=9600')
    const whole = 'serial:///dev/ttyS1?baud=3000000&parity=even&stopBits=2&flow=rtscts'
    assert.equal(written(whole), whole)
    const defaults = 'serial:///dev/ttyS1?baud=115200&parity=none&dataBits=8&stopBits=1&flow=none'
    assert.equal(written(defaults), 'serial:///dev/ttyS1')
    assert.equal(written('serial:///dev/virtio-ports/a%25b%3Fc'), 'serial:///dev/virtio-ports/a%25b%3Fc')
    assert.equal(
      serial({ path: '/dev/ttyS1', baud: 9600, parity: 'odd' }).address,
      'serial:///dev/ttyS1?baud=9600&parity=odd',
    )
    assert.equal(serial({ path: 'x' }).address, `serial://${process.cwd()}/x`)
  })

  it('are a hypervisor’s socket, port or command', () => {
    for (const address of [
      'serial+unix:///run/vm/serial.sock',
      'serial+unix:///run/vm/serial.sock?listen',
      'serial+unix:///run/vm/serial.sock?listen&mode=0660&group=libvirt-qemu',
      'serial+tcp://127.0.0.1:7000?listen',
      'serial+tcp://127.0.0.1:0?listen',
      'serial+tcp://127.0.0.1:7000',
      'serial+tcp://[::1]:7000',
      "serial+exec:ssh host 'socat - /dev/ttyS1,raw'",
    ]) {
      assert.equal(written(address), address)
      assert.equal(serial(address).scheme, address.slice(0, address.indexOf(':')))
    }
    assert.equal(serial({ socket: '/run/a?b', listen: true }).address, 'serial+unix:///run/a%3Fb?listen')
    assert.equal(
      serial({ socket: '/run/x', listen: true, mode: 0o660, group: 'kvm' }).address,
      'serial+unix:///run/x?listen&mode=0660&group=kvm',
    )
    assert.equal(serial({ port: 7000, listen: true }).address, 'serial+tcp://127.0.0.1:7000?listen')
    assert.equal(serial({ port: 7000 }).address, 'serial+tcp://127.0.0.1:7000')
    assert.equal(serial({ command: 'a b', args: ['c'] }).address, "serial+exec:'a b' c")
    assert.equal(serial('serial:///dev/ttyS1').scheme, 'serial')
  })

  it('that are none are refused, and shown', () => {
    const bad = [
      ...['serial:', 'serial://', 'serial:///', 'serial:/dev/ttyS1', 'serial://dev/ttyS1', 'serial:///dev/x#y'],
      ...['serial:///dev/x%', 'serial:///dev/x%00', 'serial+usb:///dev/x', 'Serial:///dev/x', 'tcp://127.0.0.1:1', ''],
      ...['baud', 'baud=', 'baud=0', 'baud=49', 'baud=12000001', 'baud=9600x', 'baud=0x10', 'baud=9600.5', 'baud=-1'],
      ...[
        'parity=mark',
        'dataBits=7',
        'stopBits=3',
        'stopBits=1.5',
        'flow=dtr',
        'speed=9600',
        'baud=300&baud=300',
        '&',
      ],
      ...['serial+unix:///x?listen=1', 'serial+unix:///x?', 'serial+unix://x', 'serial+unix:///x?listen?listen'],
      ...['mode=0660', 'listen&mode=660x', 'listen&mode=0770', 'listen&mode=', 'listen&group=', 'listen&group=a/b'].map(
        (query) => `serial+unix:///x?${query}`,
      ),
      ...['serial+tcp://:0', 'serial+tcp://127.1:80', 'serial+tcp:127.0.0.1:80'],
      ...['serial+tcp://127.0.0.1:80?listen=1', 'serial+tcp://127.0.0.1:80?listen&mode=0660'],
      ...['serial+exec:', "serial+exec:''", 'serial+exec:"a'],
    ].map((text) => (/^(serial|Serial|tcp|$)/.test(text) ? text : `serial:///dev/ttyS1?${text}`))
    for (const address of bad) {
      assert.throws(
        () => serial(address),
        (error: Error & { code?: string }) =>
          error.code === 'ERR_ADDRESS_INVALID' && error.message.includes(JSON.stringify(address).slice(1, -1)),
        address,
      )
    }
  })

  it('and options that cannot carry all bytes are refused at once, with the reason', () => {
    assert.throws(() => serial('serial:///dev/ttyS1?flow=xonxoff'), /0x11 and 0x13/)
    assert.throws(() => serial({ path: '/dev/ttyS1', flow: 'xonxoff' as never }), /0x11 and 0x13/)
    assert.throws(() => serial({ path: '/dev/ttyS1', dataBits: 7 as never }), /dataBits must be 8, not 7/)
  })

  it('and options that are none are refused, and named', () => {
    const bad: [options: unknown, named: RegExp][] = [
      [{ path: '' }, /^path /],
      [{ path: 7 }, /^path /],
      [{ path: '/dev/x\0' }, /^path /],
      [{ path: '/dev/x', baud: '9600' }, /^baud .*9600/],
      [{ path: '/dev/x', baud: NaN }, /^baud .*NaN/],
      [{ path: '/dev/x', parity: 'mark' }, /^parity .*mark/],
      [{ path: '/dev/x', stopBits: 1.5 }, /^stopBits .*1\.5/],
      [{ path: '/dev/x', flow: true }, /^flow .*true/],
      [{ socket: '' }, /^path /],
      [{ socket: '/run/x', listen: 'yes' }, /^listen .*yes/],
      [{ socket: '/run/x', mode: 0o660 }, /^mode .*listen/],
      [{ socket: '/run/x', listen: true, mode: 0o770 }, /^mode .*504/],
      [{ socket: '/run/x', listen: true, group: '' }, /^group /],
      [{ port: 0 }, /^port .*0/],
      [{ port: 1, listen: 1 }, /^listen .*1/],
      [{ port: 1, host: '127.1' }, /^host .*127\.1/],
      [{ command: '' }, /^command /],
      [{ command: 'a', args: [7] }, /7/],
      [{}, /^port .*undefined/],
      [undefined, /address or an object/],
    ]
    for (const [options, named] of bad) {
      assert.throws(() => serial(options as SerialOptions), { code: 'ERR_BAD_ARGUMENT', message: named })
    }
  })
})

describe('traits of a serial line', () => {
  const traits = (address: string) => serial(address).traits
  const frame = (baud: number) => traits(`serial:///dev/ttyS1?baud=${baud}`).preferredFrameBytes

  it('say that the peer’s coming and going is not told', () => {
    for (const address of [
      'serial:///dev/ttyS1',
      'serial:///dev/virtio-ports/x',
      'serial+unix:///x',
      'serial+tcp://:1',
    ]) {
      assert.equal(traits(address).connected, false)
    }
  })

  it('say that only a virtio port loses and changes nothing', () => {
    for (const path of ['/dev/virtio-ports/org.example.0', '/dev/vport1p1']) {
      assert.deepEqual(traits(`serial://${path}`), { lossless: true, connected: false, preferredFrameBytes: 16_384 })
    }
    for (const address of ['serial:///dev/ttyS1', 'serial:///tmp/vport1p1', 'serial+unix:///x', 'serial+exec:cat']) {
      assert.equal(traits(address).lossless, false)
    }
  })

  it('leave room in a terminal whose driver stops for good when its buffer was full: that of user-mode Linux [R-556]', () => {
    const line = (name: string): string => `${name.padEnd(20)} /dev/ttyS        4 64-79 serial\n`
    assert.equal(
      stallingBytes(`/dev/tty             /dev/tty        5       0 system:/dev/tty\n${line('UML serial line')}`),
      3072,
    )
    assert.equal(stallingBytes(line('UML console')), 3072)
    for (const name of ['serial', 'usbserial', 'pty_slave', 'UMLx']) assert.equal(stallingBytes(line(name)), undefined)
    assert.equal(stallingBytes(undefined), undefined)
    // this machine's terminals are not of that kind
    assert.equal('maxInFlightBytes' in traits('serial:///dev/ttyS1'), false)
  })

  it('prefer frames that take a twentieth of a second', () => {
    assert.equal(frame(115_200), 576)
    assert.equal(frame(300), 128)
    assert.equal(frame(25_600), 128)
    assert.equal(frame(3_000_000), 15_000)
    assert.equal(frame(12_000_000), 16_384)
    assert.equal(traits('serial+unix:///x').preferredFrameBytes, 16_384)
  })
})
