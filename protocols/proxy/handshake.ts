/**
 * What a client of the proxy says before its connection is established: SOCKS5, SOCKS4(a) or HTTP,
 * told by the first byte. Pure: bytes in; answers, and the request or its refusal, out.
 *
 * Holds what was not understood yet, at most the longest head (`MAX_HEAD_BYTES` of http-head.ts),
 * and the last piece.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { TrunkError } from '../../src/contracts/errors.ts'
import { establishedReply, httpFailure, parseHead, STATUS, type BodyLength } from './http-head.ts'
import type { Destination, Parsed } from './parsed.ts'
import { parseRequest4, reply4, REPLY_4, VERSION_4 } from './socks4.ts'
import {
  loginReply,
  METHOD,
  methodReply,
  parseGreeting,
  parseLogin,
  parseRequest5,
  REPLY_5,
  reply5,
  VERSION_5,
} from './socks5.ts'

/** How a handshake is read. */
export interface HandshakeOptions {
  /** Serves methods with an absolute URL (`GET http://…`) as well. @default false */
  readonly http?: boolean
  /**
   * `USER:PASSWORD`: who does not say it is refused; with it SOCKS4, which knows no passwords, is
   * not spoken.
   * @default nobody is asked
   */
  readonly login?: string
}

/** The languages. */
export type Dialect = 'socks5' | 'socks4' | 'http'

/** What a client wants. */
export interface ProxyRequest {
  readonly dialect: Dialect
  readonly to: Destination
  /** An HTTP request that is passed on; undefined where everything that follows is the target's. */
  readonly passed: { readonly head: Uint8Array; readonly body: BodyLength } | undefined
}

/** What came of the bytes so far. `reply`, where there is one, is sent first. */
export type Progress =
  | { readonly state: 'more'; readonly reply: Uint8Array }
  /** @property rest what came behind the request */
  | { readonly state: 'request'; readonly reply: Uint8Array; readonly request: ProxyRequest; readonly rest: Uint8Array }
  | { readonly state: 'refused'; readonly reply: Uint8Array; readonly error: TrunkError }

type Stage = 'first' | 'greeting' | 'login' | 'request 5' | 'request 4' | 'head'

const [UPPER_A, UPPER_Z] = [0x41, 0x5a] as const
const NOTHING = new Uint8Array(0)

/** See the top of the file. */
export class Handshake {
  readonly #http: boolean
  readonly #login: string | undefined
  #stage: Stage = 'first'
  #bytes: Uint8Array = NOTHING
  #replies: Uint8Array[] = []
  #end:
    | Omit<Extract<Progress, { state: 'request' }>, 'reply'>
    | Omit<Extract<Progress, { state: 'refused' }>, 'reply'>
    | undefined

  constructor({ http = false, login }: HandshakeOptions = {}) {
    this.#http = http
    this.#login = login
  }

  /** Takes what has come; not to be called again once there was a request or a refusal. */
  push(bytes: Uint8Array): Progress {
    this.#bytes = this.#bytes.byteLength === 0 ? bytes.slice() : Buffer.concat([this.#bytes, bytes])
    while (this.#end === undefined && this.#step());
    const reply = this.#replies.length === 0 ? NOTHING : Buffer.concat(this.#replies)
    this.#replies = []
    return { ...(this.#end ?? { state: 'more' }), reply }
  }

  /** What a client is told whose time is over: only HTTP has words for that. */
  get timeoutReply(): Uint8Array {
    const why = 'the request did not come in time'
    return this.#stage === 'head' ? httpFailure(STATUS.timeout, 'ERR_CONNECT_TIMEOUT', why) : NOTHING
  }

  /** True where another step may be made at once. */
  #step(): boolean {
    switch (this.#stage) {
      case 'first':
        return this.#first()
      case 'greeting':
        return this.#take(parseGreeting(this.#bytes), NOTHING, (methods) => this.#greeted(methods))
      case 'login':
        return this.#take(parseLogin(this.#bytes), loginReply(false), ({ user, password }) =>
          this.#loggedIn(`${user}:${password}`),
        )
      case 'request 5': {
        const parsed = parseRequest5(this.#bytes)
        const reply = parsed.state === 'bad' ? reply5(parsed.reply) : NOTHING
        return this.#take(parsed, reply, (to) => this.#requested({ dialect: 'socks5', to, passed: undefined }))
      }
      case 'request 4': {
        const refusal = reply4(REPLY_4.rejected)
        return this.#take(parseRequest4(this.#bytes), refusal, (to) =>
          this.#requested({ dialect: 'socks4', to, passed: undefined }),
        )
      }
      case 'head':
        return this.#head()
    }
  }

  #first(): boolean {
    const [first] = this.#bytes
    if (first === undefined) return false
    if (first === VERSION_5) this.#stage = 'greeting'
    else if (first === VERSION_4) this.#stage = 'request 4'
    else if (first >= UPPER_A && first <= UPPER_Z) this.#stage = 'head'
    else this.#refuse(NOTHING, 'neither SOCKS nor HTTP')
    if (this.#stage === 'request 4' && this.#login !== undefined)
      this.#refuse(reply4(REPLY_4.rejected), 'SOCKS4 has no password', 'ERR_DENIED')
    return true
  }

  #greeted(methods: readonly number[]): void {
    const wanted = this.#login === undefined ? METHOD.none : METHOD.password
    if (!methods.includes(wanted)) {
      const why = this.#login === undefined ? 'the client insists on a login' : 'the client has no password'
      this.#refuse(methodReply(METHOD.unacceptable), why, 'ERR_DENIED')
      return
    }
    this.#replies.push(methodReply(wanted))
    this.#stage = this.#login === undefined ? 'request 5' : 'login'
  }

  #loggedIn(given: string): void {
    const right = isSame(given, this.#login)
    if (!right) {
      this.#refuse(loginReply(false), WRONG_LOGIN, 'ERR_DENIED')
      return
    }
    this.#replies.push(loginReply(true))
    this.#stage = 'request 5'
  }

  #head(): boolean {
    const parsed = parseHead(this.#bytes, this.#http)
    const reply = parsed.state === 'bad' ? httpFailure(parsed.reply, 'ERR_MESSAGE_INVALID', parsed.why) : NOTHING
    return this.#take(parsed, reply, ({ to, login, passed }) => {
      if (this.#login === undefined || (login !== undefined && isSame(login, this.#login))) {
        this.#requested({ dialect: 'http', to, passed })
      } else {
        const why = login === undefined ? 'a user and a password are asked for' : WRONG_LOGIN
        this.#refuse(httpFailure(STATUS.loginRequired, 'ERR_DENIED', why), why, 'ERR_DENIED')
      }
    })
  }

  #take<T>(parsed: Parsed<T>, refusal: Uint8Array, use: (value: T) => void): boolean {
    if (parsed.state === 'more') return false
    if (parsed.state === 'bad') {
      this.#refuse(refusal, parsed.why)
      return false
    }
    this.#bytes = this.#bytes.subarray(parsed.length)
    use(parsed.value)
    return true
  }

  #requested(request: ProxyRequest): void {
    this.#end = { state: 'request', request, rest: this.#bytes }
  }

  #refuse(reply: Uint8Array, why: string, code: 'ERR_MESSAGE_INVALID' | 'ERR_DENIED' = 'ERR_MESSAGE_INVALID'): void {
    this.#replies.push(reply)
    this.#end = { state: 'refused', error: new TrunkError(code, `a client of the proxy: ${why}`) }
  }
}

const WRONG_LOGIN = 'the user or the password is wrong'

/** In a time that says nothing of where they differ. */
function isSame(given: string, right: string | undefined): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text, 'latin1').digest()
  return right !== undefined && timingSafeEqual(hash(given), hash(right))
}

/**
 * That the connection is established. An HTTP request that is passed on is answered by its server.
 */
export function successReply(
  { dialect, passed }: ProxyRequest,
  bound?: { readonly address: string; readonly port: number },
): Uint8Array {
  if (dialect === 'socks5') return reply5(REPLY_5.succeeded, bound)
  if (dialect === 'socks4') return reply4(REPLY_4.granted)
  return passed === undefined ? establishedReply() : NOTHING
}

/** That there is no connection, in the words that the client's language has for why. */
export function failureReply({ dialect }: ProxyRequest, { code, message }: TrunkError): Uint8Array {
  if (dialect === 'socks5') return reply5(SOCKS5_FAILURES[code] ?? REPLY_5.failed)
  if (dialect === 'socks4') return reply4(REPLY_4.rejected)
  return httpFailure(HTTP_FAILURES[code] ?? STATUS.badGateway, code, message)
}

const SOCKS5_FAILURES: Readonly<Partial<Record<string, number>>> = {
  ERR_DENIED: REPLY_5.denied,
  ERR_CONNECT_UNREACHABLE: REPLY_5.hostUnreachable,
  ERR_CONNECT_TIMEOUT: REPLY_5.hostUnreachable,
  ERR_NAME_NOT_FOUND: REPLY_5.hostUnreachable,
  ERR_CONNECT_REFUSED: REPLY_5.refused,
}

const HTTP_FAILURES: Readonly<Partial<Record<string, number>>> = {
  ERR_DENIED: STATUS.denied,
  ERR_CONNECT_TIMEOUT: STATUS.gatewayTimeout,
}
