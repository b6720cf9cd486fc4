/**
 * What an editor shows: every export and every member of one has its contract as JSDoc, every
 * function an example.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import ts from 'typescript'
import { ROOT } from '../helpers/root.ts'

const entries = [
  'src/index.ts',
  'src/api/streams.ts',
  'test/testing/index.ts',
  'protocols/proxy/index.ts',
  'protocols/forward/index.ts',
  ...['transports', 'protocols'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`),
  ),
]

const program = ts.createProgram(
  entries.map((entry) => join(ROOT, entry)),
  { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, noEmit: true, allowImportingTsExtensions: true },
)
const checker = program.getTypeChecker()

interface Exported {
  readonly name: string
  readonly symbol: ts.Symbol
}

const exported: Exported[] = entries.flatMap((entry) => {
  const file = program.getSourceFile(join(ROOT, entry))
  const module = file && checker.getSymbolAtLocation(file)
  assert.ok(module, `${entry} is no module`)
  return checker.getExportsOfModule(module).map((symbol) => ({
    name: `${entry}: ${symbol.name}`,
    symbol: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
  }))
})

/**
 * What a class or interface has from elsewhere (Error, EventEmitter, the language) is said there.
 */
const isOurs = (declaration: ts.Declaration): boolean => {
  const { fileName } = declaration.getSourceFile()
  return !fileName.includes('node_modules') && fileName.startsWith(ROOT)
}

/** Members that say by their name what they are, wherever they are: the language's own. */
const KNOWN = new Set(['__constructor', 'prototype', 'name', 'return', 'next', 'throw'])

/** The members of a type, of those that it is joined from, and of the parameters of a function. */
function membersOf(symbol: ts.Symbol): ts.Symbol[] {
  const found = new Set<ts.Symbol>()
  const add = (type: ts.Type): void => {
    if (type.isUnionOrIntersection()) {
      for (const part of type.types) add(part)
      return
    }
    if ((type.flags & ts.TypeFlags.Object) === 0) return
    for (const member of checker.getPropertiesOfType(type)) found.add(member)
  }
  const kinds = ts.SymbolFlags.Class | ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias
  if (symbol.flags & kinds) add(checker.getDeclaredTypeOfSymbol(symbol))
  return [...found].filter((member) => {
    const declarations = member.declarations ?? []
    const isHidden =
      member.name.startsWith('#') ||
      declarations.some(
        (declaration) =>
          (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0,
      )
    const isOfLanguage = KNOWN.has(member.name) || member.name.startsWith('__@')
    return declarations.some(isOurs) && !isHidden && !isOfLanguage
  })
}

const sentence = (symbol: ts.Symbol): string => ts.displayPartsToString(symbol.getDocumentationComment(checker))

describe('JSDoc', () => {
  it('says of every export what it is', () => {
    assert.ok(exported.length > 60, `only ${exported.length} exports were found`)
    const silent = exported.filter(({ symbol }) => sentence(symbol).length < 10).map(({ name }) => name)
    assert.deepEqual(silent, [])
  })

  it('says of every member of an export what it is', () => {
    const members = exported.flatMap(({ name, symbol }) =>
      membersOf(symbol).map((member) => ({ name: `${name}.${member.name}`, member })),
    )
    assert.ok(members.length > 300, `only ${members.length} members were found`)
    const silent = members.filter(({ member }) => sentence(member).length < 10).map(({ name }) => name)
    assert.deepEqual([...new Set(silent)].sort(), [])
  })

  it('has an example of every function', () => {
    const silent = exported
      .filter(({ symbol }) => symbol.flags & ts.SymbolFlags.Function)
      .filter(({ symbol }) => !symbol.getJsDocTags(checker).some(({ name }) => name === 'example'))
    assert.deepEqual([...new Set(silent.map(({ name }) => name))], [])
  })
})
