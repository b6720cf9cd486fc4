/**
 * File names are bytes. Node encodes a path that is text as UTF-8, and decodes names as UTF-8: what
 * is not UTF-8 then names another file. This rule has the functions of node:fs take bytes (or a
 * descriptor, or a path that stands in the source) and give names as bytes.
 */

/** Functions whose first argument is no path. */
const BY_DESCRIPTOR =
  /^(?:close|read|readv|write|writev|fchmod|fchown|fdatasync|fstat|fsync|ftruncate|futimes)(?:Sync)?$/
/** Functions with a second path. */
const TWO_PATHS = /^(?:rename|link|symlink|copyFile|cp)(?:Sync)?$/
/** Functions that give names, as text unless they are told otherwise. */
const GIVING_NAMES = /^(?:readdir|opendir|realpath|readlink|mkdtemp|watch|glob)(?:Sync)?$/

const MODULES = new Set(['fs', 'node:fs', 'fs/promises', 'node:fs/promises'])

/** The name that a function of node:fs was imported under; undefined for another one. */
function importedFunction(callee, sourceCode) {
  let node = callee
  // realpathSync.native
  if (node.type === 'MemberExpression') node = node.object
  if (node.type !== 'Identifier') return undefined
  let scope = sourceCode.getScope(node)
  while (scope !== null && !scope.set.has(node.name)) scope = scope.upper
  const definition = scope?.set.get(node.name)?.defs[0]
  if (definition?.type !== 'ImportBinding' || !MODULES.has(definition.parent.source.value)) return undefined
  return definition.node.type === 'ImportSpecifier' ? definition.node.imported.name : '*'
}

/** True for bytes, descriptors, and text that stands in the source. */
function isExact(type, checker) {
  if (type.isUnion()) return type.types.every((part) => isExact(part, checker))
  if (type.isStringLiteral() || type.isNumberLiteral()) return true
  const name = checker.typeToString(checker.getBaseTypeOfLiteralType(type))
  return name === 'number' || /^(?:Buffer|Uint8Array)(?:<.*>)?$/.test(name)
}

function asksForBytes(argument) {
  if (argument.type === 'Literal') return argument.value === 'buffer'
  if (argument.type !== 'ObjectExpression') return false
  return argument.properties.some(
    ({ key, value }) => key?.name === 'encoding' && (value.expression ?? value).value === 'buffer',
  )
}

/** @type {import('eslint').Rule.RuleModule} */
export const bytePaths = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      text: 'A path is bytes: toBytes(path), a Buffer or a descriptor. Node would encode this text as UTF-8 and name another file.',
      names: "This gives names as text, and loses what is not UTF-8: ask for 'buffer'.",
      whole: 'Import the functions of node:fs by their names, so that this rule can see them.',
    },
  },
  create(context) {
    const { sourceCode } = context
    const { program, esTreeNodeToTSNodeMap } = sourceCode.parserServices
    const checker = program.getTypeChecker()
    const requireBytes = (node) => {
      if (node === undefined || node.type === 'SpreadElement') return
      const type = checker.getTypeAtLocation(esTreeNodeToTSNodeMap.get(node))
      if (!isExact(type, checker)) context.report({ node, messageId: 'text' })
    }
    return {
      CallExpression(node) {
        const name = importedFunction(node.callee, sourceCode)
        if (name === undefined || BY_DESCRIPTOR.test(name)) return
        if (name === '*') return context.report({ node, messageId: 'whole' })
        requireBytes(node.arguments[0])
        if (TWO_PATHS.test(name)) requireBytes(node.arguments[1])
        if (GIVING_NAMES.test(name) && !node.arguments.slice(1).some(asksForBytes)) {
          context.report({ node, messageId: 'names' })
        }
      },
    }
  },
}
