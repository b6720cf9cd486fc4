/** What an editor shows: every export has its contract as JSDoc, every function an example. */
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

const sentence = (symbol: ts.Symbol): string => ts.displayPartsToString(symbol.getDocumentationComment(checker))

describe('JSDoc', () => {
  it('says of every export what it is', () => {
    assert.ok(exported.length > 60, `only ${exported.length} exports were found`)
    const silent = exported.filter(({ symbol }) => sentence(symbol).length < 10).map(({ name }) => name)
    assert.deepEqual(silent, [])
  })

  it('has an example of every function', () => {
    const silent = exported
      .filter(({ symbol }) => symbol.flags & ts.SymbolFlags.Function)
      .filter(({ symbol }) => !symbol.getJsDocTags(checker).some(({ name }) => name === 'example'))
    assert.deepEqual([...new Set(silent.map(({ name }) => name))], [])
  })
})
