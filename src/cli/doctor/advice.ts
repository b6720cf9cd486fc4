/**
 * What to do about an error that connecting, or the hello, ended with: plain words, by its code and
 * by what the line is made of.
 */
import type { Target } from './target.ts'

type Advice = readonly string[]

/** How the other end is started, where it is said what it is. */
function startPeer(address: string, target: Target): Advice {
  switch (target.type) {
    case 'device':
      return [
        'Is a trunkline running at the other end? In a guest and on its host the two ends have different addresses:',
        '  guest: trunkline serve serial:///dev/virtio-ports/NAME   or   serial:///dev/ttyS1',
        '  host:  trunkline serve serial+unix://PATH',
      ]
    case 'socket':
      if (target.kind === 'trunkline') return ['Start the other end:', `  trunkline serve ${address}`]
      if (target.kind === 'qemu') {
        return [
          'Is a trunkline running in the guest, on the device that belongs to this socket? There:',
          '  trunkline serve serial:///dev/virtio-ports/NAME   or   serial:///dev/ttyS1',
        ]
      }
      return ['Start the other end, in the guest:', '  trunkline serve vsock://any:PORT']
    case 'vsock':
      return ['Start the other end, on the machine of that CID:', `  trunkline serve vsock://any:${target.port}`]
    case 'tcp':
      return ['Start the other end:', `  trunkline serve ${address}`]
    case 'other':
      return ['Start the other end with trunkline serve.']
  }
}

function silence(address: string, target: Target): Advice {
  const start = startPeer(address, target)
  if (target.type === 'device') {
    return [
      ...start,
      'On a real serial port, both ends have to have the same baud rate, and the cable has to cross.',
      'Another program that has a terminal open at the other end (screen, minicom, a login) reads what is meant for',
      'trunkline: run the doctor there as well, as root; it names that program.',
    ]
  }
  if (target.type === 'socket' && target.kind === 'qemu') {
    return [...start, 'QEMU serves one client at a time: while another one is connected, we wait unheard.']
  }
  const who = 'Something took the connection and said nothing: another program may have this address.'
  return target.type === 'other' ? start : [who, ...start]
}

function refused(address: string, target: Target): Advice {
  const start = startPeer(address, target)
  if (target.type !== 'tcp') return start
  return [...start, 'A server at 127.0.0.1 is reached from its own machine only: serve at the address that you dial.']
}

/**
 * Our own end is raw while we have it open: what is left is what stands at the other, or between.
 */
const notRaw: Advice = [
  'Something on the way treats the bytes as text. Where it is a terminal of the other machine, there:',
  '  stty -F DEVICE raw -echo -ixon -ixoff cs8 -parenb -istrip',
  'Else look for flow control by XON/XOFF, a terminal server, or a monitor that shares the line (mux=on in QEMU).',
  'A line through ssh or docker has to be without a terminal: ssh -T, not -t; docker exec -i, not -it.',
]
const echo: Advice = [
  'At the other end is a terminal that nobody has opened, or a login: start trunkline serve on it. Until then, there:',
  '  stty -F DEVICE raw -echo',
  'Or the line leads back to itself: a loop-back plug, or an address of our own.',
]

const hungUp: Advice = [
  'The other end hung up before it had said hello. A server that turns someone away says why on its standard error.',
]

type Adviser = (address: string, target: Target) => Advice

const closedPath: Advice = [
  'A firewall between here and there drops the packets, or there is no way: check the address and the port.',
]
const sameToken: Advice = ['Give both ends the same secret: --token-file FILE here, and with trunkline serve there.']

const ADVICE: Readonly<Record<string, Adviser>> = {
  ERR_HELLO_TIMEOUT: silence,
  ERR_CONNECT_REFUSED: refused,
  ERR_CONNECT_TIMEOUT: () => closedPath,
  ERR_CONNECT_UNREACHABLE: () => closedPath,
  ERR_LINE_NOT_RAW: () => notRaw,
  ERR_SELF_CONNECTION: () => echo,
  ERR_LINE_MISMATCH: () => [
    'Use a serial address (serial:, serial+unix:) at both ends, or at neither.',
    'The socket of a character device of QEMU is serial+unix://PATH, never unix://PATH.',
  ],
  ERR_LINE_DAMAGED: () => [
    'Bytes were lost or changed: compare the baud rates, and look for whoever else writes to the line (a login, the kernel).',
    'Once, right after a machine was restored from a snapshot, it means nothing: the session was older than that machine.',
  ],
  ERR_AUTH_REQUIRED: () => sameToken,
  ERR_AUTH_FAILED: () => sameToken,
  ERR_NOT_TRUNKLINE: () => [
    'Another program answers at this address: compare it with what trunkline serve has printed.',
    'On a serial line that is a console or a login: give trunkline a line of its own.',
    'Through ssh or docker: no terminal (ssh -T, docker exec -i without -t), and no login script that prints.',
  ],
  ERR_HELLO_INVALID: () => [
    'Something changes the bytes on the way, or the peer is not a trunkline: compare the versions.',
  ],
  ERR_VERSION_MISMATCH: () => ['Bring the older of the two ends up to date (trunkline --version).'],
  ERR_SESSION_LIMIT: () => ['The server has all the sessions that it takes: end some, or try later.'],
  ERR_TRANSPORT_UNAVAILABLE: () => ['The sentence above says what is missing on this machine; install that.'],
  ERR_NAME_NOT_FOUND: () => ['Check how the name is written, or use an address.'],
  ERR_DENIED: () => ['We may not connect to it: see the permissions above, or run trunkline as its owner.'],
  ERR_ACCESS: () => ['We may not open it: see the permissions above, or run trunkline as its owner.'],
  ERR_BUSY: (_, target) => [
    'End the process that has it open. As root, this names it:',
    `  fuser -v ${'path' in target ? target.path : 'PATH'}`,
  ],
  ERR_LINK_LOST: () => hungUp,
  ERR_LINK_RESET: () => hungUp,
}

/** What to do about `code`. */
export function adviceFor(code: string, address: string, target: Target): Advice {
  const adviser = Object.hasOwn(ADVICE, code) ? ADVICE[code] : undefined
  return adviser?.(address, target) ?? [`docs/reference/errors.md says what ${code} means.`]
}
