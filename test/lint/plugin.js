/** Rules of this project that need no types, for oxlint: what a selector could say. */

const TEXT_MATCHING = /^(?:includes|match|startsWith|endsWith|indexOf)$/
const SYNCHRONOUS = 'The core is synchronous: the pipe adapter owns the promises.'

/** A code is promised, a message is not. */
const noMessageMatching = {
  create(context) {
    return {
      CallExpression(node) {
        const { property, object } = node.callee
        if (!TEXT_MATCHING.test(property?.name) || object?.property?.name !== 'message') return
        context.report({ node, message: 'Match on an error’s code, never on its message.' })
      },
    }
  },
}

/** The core does no I/O: bytes and a clock reading in, bytes and the next deadline out. */
const noPromises = {
  create(context) {
    const refuse = (node) => context.report({ node, message: SYNCHRONOUS })
    const refuseAsync = (node) => {
      if (node.async) refuse(node)
    }
    return {
      ArrowFunctionExpression: refuseAsync,
      FunctionDeclaration: refuseAsync,
      FunctionExpression: refuseAsync,
      AwaitExpression: refuse,
      Identifier(node) {
        if (node.name === 'Promise') refuse(node)
      },
      ImportExpression(node) {
        context.report({ node, message: 'The core loads nothing later.' })
      },
    }
  },
}

export default {
  meta: { name: 'trunkline' },
  rules: { 'no-message-matching': noMessageMatching, 'no-promises': noPromises },
}
