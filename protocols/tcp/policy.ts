/**
 * Which addresses may be dialled or bound. Everything is denied until a rule allows it, and the
 * decision is made on the literal address that is then used, never on a name that is resolved
 * again.
 *
 * Rules: `127.0.0.1:5432` · `10.0.0.0/8:*` · `[::1]:80` · `[fd00::/8]:8000-8100` ·
 * `example.com:443` · `*.example.com:443` · `any` · `any:443`. Ports are a number, a range or `*`;
 * port 0 (chosen by the system, for listeners) is allowed by `0` and by `*`.
 *
 * Special addresses (unspecified, link-local and with it the cloud metadata services, multicast,
 * broadcast, reserved, and the IPv6 forms that carry an IPv4 address) are reached only by a rule
 * that names them: an address of such a range or a subnet inside it. Neither `any`, nor a name, nor
 * a subnet that merely contains them is enough. A bad rule throws at once.
 */
import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net'
import { badArgument } from '../../src/contracts/errors.ts'
import { canonicalName, splitHostPort } from '../../src/runtime/host-port.ts'

/** A checked allow-list. */
export interface AddressPolicy {
  /** Whether any rule could allow an answer for this name: if not, it isn't even resolved. */
  considers(name: string, port: number): boolean
  /**
   * Whether `address`, a literal, may be used with `port`. `name` is the name that was resolved to
   * it, if one was. Anything that is not an address, or has a zone id, is refused.
   */
  allows(address: string, port: number, name?: string): boolean
}

type Family = 'ipv4' | 'ipv6'

interface Ports {
  readonly first: number
  readonly last: number
}

type Rule =
  | { readonly type: 'any'; readonly ports: Ports }
  /** @property below true for the names below it, and not it */
  | { readonly type: 'name'; readonly ports: Ports; readonly name: string; readonly below: boolean }
  | { readonly type: 'subnet'; readonly ports: Ports; readonly subnet: Subnet; readonly special: boolean }

/**
 * One block of addresses. `BlockList` answers; the family is compared here since it takes mapped
 * addresses as both.
 */
class Subnet {
  readonly family: Family
  readonly prefix: number
  readonly #list = new BlockList()

  constructor(address: SocketAddress, prefix: number) {
    this.family = address.family
    this.prefix = prefix
    this.#list.addSubnet(address, prefix)
  }

  has(address: SocketAddress): boolean {
    // asked with text, a list makes one of these each time: an address took 12 µs, and takes 2
    return address.family === this.family && this.#list.check(address)
  }
}

/** The longest prefix of each family. */
const FULL_PREFIX: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 128 }

/**
 * Blocks that no wide rule opens, by RFC 6890 and the clouds' own documents. `::1` lies in `::/96`
 * and is let out in {@link isSpecial}.
 */
const SPECIAL: readonly Subnet[] = [
  '0.0.0.0/8', // "this host": dialling it reaches local services
  '169.254.0.0/16', // link-local; 169.254.169.254 is the metadata service of most clouds
  '168.63.129.16/32', // Azure's host agent
  '100.100.100.200/32', // Alibaba's metadata service
  '192.0.0.192/32', // Oracle's metadata service, old form
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and the broadcast address
  '::/96', // unspecified, and IPv4-compatible addresses
  '::ffff:0:0:0/96', // IPv4-translated (SIIT)
  '64:ff9b::/96', // NAT64
  '64:ff9b:1::/48', // NAT64, local use
  '2001::/32', // Teredo
  '2002::/16', // 6to4
  'fd00:ec2::/32', // AWS metadata and friends
  'fd20:ce::254/128', // Google's metadata service
  'fe80::/10', // link-local
  'fec0::/10', // site-local, retired
  'ff00::/8', // multicast
].map((text) => {
  const [address = '', prefix = ''] = text.split('/')
  return new Subnet(new SocketAddress({ address, family: isIPv6(address) ? 'ipv6' : 'ipv4' }), Number(prefix))
})

const LOOPBACK_V4 = new Subnet(new SocketAddress({ address: '127.0.0.0', family: 'ipv4' }), 8)
const LOOPBACK_V6 = new Subnet(new SocketAddress({ address: '::1', family: 'ipv6' }), 128)
const MAPPED = new Subnet(new SocketAddress({ address: '::ffff:0:0', family: 'ipv6' }), 96)

/** The block that makes `address` special, if one does. */
function specialBlock(address: SocketAddress): Subnet | undefined {
  return LOOPBACK_V6.has(address) ? undefined : SPECIAL.find((block) => block.has(address))
}

/**
 * The one way an address is written, so that two spellings are one: IPv6 compressed and in small
 * letters, IPv4-mapped IPv6 as IPv4. Undefined for what is no literal or has a zone id (which says
 * nothing about the address itself).
 */
export function canonicalAddress(text: string): string | undefined {
  return parseAddress(text)?.address
}

function parseAddress(text: string): SocketAddress | undefined {
  const version = isIP(text)
  if (version === 0 || text.includes('%')) return undefined
  if (version === 4) return new SocketAddress({ address: text, family: 'ipv4' })
  const address = new SocketAddress({ address: text, family: 'ipv6' })
  if (!MAPPED.has(address)) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address.address)?.[1]
  return mapped === undefined ? undefined : new SocketAddress({ address: mapped, family: 'ipv4' })
}

/**
 * Checks `allow` and gives the policy; throws ERR_BAD_ARGUMENT that names the first bad rule.
 * `option` names it for messages.
 */
export function addressPolicy(allow: readonly string[], option = 'allow'): AddressPolicy {
  if (!Array.isArray(allow)) throw badArgument(`${option} must be a list of rules, not ${typeof allow}`)
  const rules = allow.map((rule: unknown) => parseRule(rule, option))
  return {
    considers: (name, port) =>
      rules.some((rule) => covers(rule.ports, port) && (rule.type !== 'name' || isNamed(rule, canonicalName(name)))),
    allows(text, port, name) {
      const address = parseAddress(text)
      if (address === undefined) return false
      const special = specialBlock(address) !== undefined
      const known = name === undefined ? undefined : canonicalName(name)
      return rules.some((rule) => covers(rule.ports, port) && matches(rule, address, special, known))
    },
  }
}

function covers(ports: Ports, port: number): boolean {
  return Number.isInteger(port) && port >= ports.first && port <= ports.last
}

function matches(rule: Rule, address: SocketAddress, special: boolean, name: string | undefined): boolean {
  switch (rule.type) {
    case 'any':
      return !special
    case 'name':
      // a name below another may be anybody's, and lead to whom it likes: not to what only this
      // machine reaches
      return !special && isNamed(rule, name) && !(rule.below && isLoopback(address))
    case 'subnet':
      return rule.special === special && rule.subnet.has(address)
  }
}

function isNamed(rule: Extract<Rule, { type: 'name' }>, name: string | undefined): boolean {
  return rule.below ? name?.endsWith(`.${rule.name}`) === true : rule.name === name
}

function isLoopback(address: SocketAddress): boolean {
  return LOOPBACK_V4.has(address) || LOOPBACK_V6.has(address)
}

function parseRule(rule: unknown, option: string): Rule {
  if (typeof rule !== 'string') throw badArgument(`${option} has a rule that is no text: ${String(rule)}`)
  const bad = (why: string) => badArgument(`${option} has a bad rule "${rule}": ${why}`)
  if (rule === 'any') return { type: 'any', ports: { first: 0, last: 65_535 } }
  const { host = '', isBracketed = false, port } = splitHostPort(rule) ?? {}
  if (port === undefined || (host === '' && !isBracketed)) throw bad('write HOST:PORT, [IPV6]:PORT or any')
  const ports = parsePorts(port)
  if (ports === undefined) throw bad('the port must be 0 to 65535, a range or *')
  if (isBracketed) return subnetRule(host, 'ipv6', ports, bad)
  if (host === 'any') return { type: 'any', ports }
  const below = host.startsWith('*.')
  const name = canonicalName(below ? host.slice(2) : host)
  if (name !== undefined) return { type: 'name', ports, name, below }
  if (below) throw bad('what follows the star is no name')
  return subnetRule(host, 'ipv4', ports, bad)
}

function parsePorts(text: string): Ports | undefined {
  if (text === '*') return { first: 0, last: 65_535 }
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  return first <= last && last <= 65_535 ? { first, last } : undefined
}

function subnetRule(text: string, family: Family, ports: Ports, bad: (why: string) => Error): Rule {
  const [literal = '', prefixText, ...rest] = text.split('/')
  const address = parseAddress(literal)
  if (address === undefined || rest.length > 0) throw bad('the host is neither an address nor a name')
  if (address.family !== family) throw bad('write IPv6 addresses in brackets and IPv4 addresses without them')
  const full = FULL_PREFIX[family]
  const prefix = prefixText === undefined ? full : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : NaN
  if (!(prefix >= 0 && prefix <= full)) throw bad(`the prefix must be 0 to ${full}`)
  const block = specialBlock(address)
  return {
    type: 'subnet',
    ports,
    subnet: new Subnet(address, prefix),
    special: block !== undefined && prefix >= block.prefix,
  }
}
