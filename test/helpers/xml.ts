/**
 * Whether a piece of XML is well-formed: tags that nest, attributes in quotes, no stray brackets.
 * What libvirt's snippets need, not all of XML.
 */

const NAME = '[A-Za-z_][\\w.-]*'
const ATTRIBUTES = `(?:\\s+${NAME}=(?:'[^'<]*'|"[^"<]*"))*`
const TOKEN = new RegExp(
  `<!--(?:(?!--).)*-->|<(/)?(${NAME})(${ATTRIBUTES})\\s*(/)?>|[^<>&]+|&(?:lt|gt|amp|quot|apos);`,
  'sy',
)

/** What is wrong with `text`; undefined where nothing is. */
export function xmlProblem(text: string): string | undefined {
  const open: string[] = []
  let elements = 0
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const token = TOKEN.exec(text)
    if (token === null) return `at ${at}: ${JSON.stringify(text.slice(at, at + 30))}`
    const [, closing, name, attributes = '', empty] = token
    if (name === undefined) continue
    if (closing === undefined) {
      elements++
      if (empty === undefined) open.push(name)
    } else if (attributes !== '' || empty !== undefined || open.pop() !== name) return `</${name}> closes nothing`
  }
  if (open.length > 0) return `<${String(open.at(-1))}> is not closed`
  return elements === 0 ? 'there is no element' : undefined
}
