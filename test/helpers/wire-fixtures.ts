/** The golden vectors in test/fixtures/wire, with types. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, type TypeName } from './naive-codec.ts'
import { ROOT } from './root.ts'

/** Bytes in JSON. */
export interface HexBytes {
  readonly hex: string
}

export interface FrameVector extends HexBytes {
  readonly name: string
  readonly type: number
  readonly typeName: TypeName
  readonly flags: number
  readonly pipe: number
  readonly payload: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface StatusVector extends HexBytes {
  readonly what: string
  readonly number: number
  readonly name: string
  readonly sentence: string
  readonly code: string
}

export interface HelloVector extends HexBytes {
  readonly name: string
  readonly fields: unknown
}

export interface ProofVector {
  readonly role: 'connect' | 'serve'
  readonly input: string
  readonly proof: string
  readonly ready: string
}

export interface SessionStep extends HexBytes {
  readonly from: 'a' | 'b'
  readonly note: string
  readonly frames: readonly FrameFields[]
}

/** A frame in the open. */
export interface FrameFields {
  readonly typeName: TypeName
  readonly pipe: number
  readonly flags: number
  readonly payload: string
}

export interface CheckedStep extends HexBytes {
  readonly from: 'a' | 'b'
  /** Which run of a has the line. */
  readonly run: 1 | 2
  readonly note: string
  readonly frames: readonly FrameFields[]
}

/** A value of CBOR and its encoding. */
interface ValueVector extends HexBytes {
  readonly value: unknown
}

interface Fixtures {
  'frames.json': { frames: FrameVector[] }
  'statuses.json': { valid: StatusVector[]; unknownNumber: StatusVector; invalid: (HexBytes & { name: string })[] }
  'cbor.json': {
    values: (HexBytes & { value: unknown })[]
    bytes: { length: number; head: string }[]
    taken: (HexBytes & { name: string; value?: number; integer?: string })[]
    invalid: (HexBytes & { name: string })[]
  }
  'hellos.json': {
    sync: string
    hellos: HelloVector[]
    unknownFields: HexBytes & { fields: unknown }
    ready: HexBytes & { answers: string }
    token: { token: string; connect: ProofVector; serve: ProofVector }
  }
  'session.json': { steps: SessionStep[] }
  'checked.json': {
    sync: string
    probe: string
    sums: (HexBytes & { start: string; sum: string })[]
    epochs: { a: string; b: string }
    runningCrcs: { aToB: string; bToA: string; aToNobody: string }
    hello: string
    helloBursts: (HexBytes & { state: 'new' | 'heard' | 'stands' | null; ready?: string })[]
    farewells: { toB: string; toNobody: string }
    sequenced: (HexBytes & FrameFields & { what: string; start: string; sum: string })[]
    bulk: (HexBytes & FrameFields & { from: 'a' | 'b'; start: string; sum: string })[]
    damage: (HexBytes & { what: string })[]
    session: { runs: { a: string[]; b: string[] }; steps: CheckedStep[] }
  }
  'exec.json': {
    requests: ValueVector[]
    refused: ValueVector[]
    spec: ValueVector
    replies: Record<'start' | 'kept' | 'stream' | 'attach', ValueVector>
    control: Record<'toServer' | 'toClient' | 'list', ValueVector[]>
  }
  'golden-frames.json': { seed: number; count: number; bytes: number; sha256: string }
}

/** Reads one of the files. */
export function wireFixture<Name extends keyof Fixtures>(name: Name): Fixtures[Name] {
  return JSON.parse(readFileSync(join(ROOT, 'test/fixtures/wire', name), 'utf8')) as Fixtures[Name]
}

/** Turns `{ "hex": … }` back into bytes, all the way down. */
export function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== 'object' || value === null) return value
  if ('hex' in value && typeof value.hex === 'string') return fromHex(value.hex)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, revive(member)]))
}

/** The same value made of plain objects and Uint8Arrays, for deepEqual. */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}
