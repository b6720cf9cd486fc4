/**
 * Loaded before each test file by test/run.mjs. Where `assert.ok` gets no message, Node 20 parses
 * the source around the failing call to make one; tsx has put the whole file on one line, and that
 * search then takes minutes. With a fixed message a failing test fails at once, and the stack still
 * says where.
 */
import assert from 'node:assert'

for (const face of [assert, assert.strict]) {
  const ok = (value, message) => {
    if (value) return
    if (message instanceof Error) throw message
    throw new assert.AssertionError({
      message: message ?? `the value is not truthy: ${String(value)}`,
      actual: value,
      expected: true,
      operator: '==',
      stackStartFn: ok,
    })
  }
  face.ok = ok
}
