/**
 * Plots as plain SVG, for light and dark pages: lines over a logarithmic axis, and dots of several
 * contenders in rows.
 */

/** A name with its points; a point without a finite value is left out. */
export interface Line {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface LinePlot {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly lines: readonly Line[]
  /** Every name that has a colour: the same one in each plot. The first is drawn stronger. */
  readonly palette: readonly string[]
  /** The numbers of the horizontal axis, with their labels. */
  readonly xTicks: readonly (readonly [number, string])[]
}

export interface DotRow {
  readonly title: string
  /** What is asked: a mark in the row. */
  readonly target: number | undefined
  readonly dots: readonly { readonly name: string; readonly value: number }[]
}

export interface DotPlot {
  readonly title: string
  readonly xLabel: string
  readonly rows: readonly DotRow[]
  /** As for lines. */
  readonly palette: readonly string[]
  /** A line through all rows, with its name. */
  readonly line?: { readonly value: number; readonly name: string }
}

const WIDTH = 880
const STYLE = `<style>
  svg { font: 13px Helvetica, Arial, sans-serif }
  .page { fill: #ffffff } text { fill: #1f2430 } .quiet { fill: #5b6475 } .grid { stroke: #dfe3ea } .axis { stroke: #8a94a6 }
  .c0 { color: #0b62c4 } .c1 { color: #5b6475 } .c2 { color: #c2410c } .c3 { color: #15803d } .c4 { color: #9333a8 } .c5 { color: #a16207 }
  .c6 { color: #0e7490 } .c7 { color: #be185d } .c8 { color: #4d7c0f } .c9 { color: #7c2d12 } .c10 { color: #4338ca } .c11 { color: #0f766e }
  .c12 { color: #111827 } .c13 { color: #9f1239 }
  .line { stroke: currentColor; fill: none; stroke-width: 1.6 } .dot { fill: currentColor } .ours.line { stroke-width: 3.2 } .name { fill: currentColor } .ours { font-weight: bold }
  .target { stroke: #1f2430; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #12151c } text { fill: #e6e9f0 } .quiet { fill: #a3acbd } .grid { stroke: #2b313d } .axis { stroke: #667085 } .target { stroke: #e6e9f0 }
    .c0 { color: #6cb2ff } .c1 { color: #a3acbd } .c2 { color: #ff9a62 } .c3 { color: #5fd68b } .c4 { color: #d79af0 } .c5 { color: #e8c15a }
    .c6 { color: #5fd0e6 } .c7 { color: #ff85b5 } .c8 { color: #b5dd6c } .c9 { color: #e0a98f } .c10 { color: #a5a0ff } .c11 { color: #5ed6c5 }
    .c12 { color: #f3f4f6 } .c13 { color: #fda4af }
  }
</style>`

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const at = (value: number): string => value.toFixed(1)

function page(title: string, height: number, body: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">`,
    STYLE,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text x="20" y="28" font-size="16" font-weight="bold">${escape(title)}</text>`,
    ...body,
    '</svg>',
    '',
  ].join('\n')
}

/**
 * A logarithmic axis over `values`, from `from` to `to` in pixels, with 1, 2 and 5 of each power of
 * ten as far as they have room.
 */
function logAxis(
  values: readonly number[],
  from: number,
  to: number,
): { place: (value: number) => number; ticks: number[] } {
  const low = Math.log10(Math.min(...values)) - 0.06
  const high = Math.log10(Math.max(...values)) + 0.06
  const place = (value: number): number => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
  const steps = high - low < 2.2 ? [1, 2, 5] : [1]
  const ticks: number[] = []
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    for (const step of steps) {
      const tick = step * 10 ** power
      if (Math.log10(tick) >= low && Math.log10(tick) <= high) ticks.push(tick)
    }
  }
  return { place, ticks }
}

function plain(value: number): string {
  return value >= 1 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(1)))
}

const drawable = (value: number): boolean => Number.isFinite(value) && value > 0

/** Lines over two logarithmic axes; each name stands at its line's end. */
export function linePlot({ title, xLabel, yLabel, lines, palette, xTicks }: LinePlot): string {
  const [left, right, top, bottom, height] = [80, WIDTH - 170, 50, 380, 440]
  const drawn = lines.map((line) => ({ ...line, points: line.points.filter(([, y]) => drawable(y)) }))
  const x = logAxis(
    xTicks.map(([value]) => value),
    left,
    right,
  )
  const y = logAxis(
    drawn.flatMap(({ points }) => points.map(([, value]) => value)),
    bottom,
    top,
  )
  const body: string[] = []
  for (const tick of y.ticks) {
    const height = at(y.place(tick))
    body.push(`<path class="grid" d="M${left} ${height}H${right}"/>`)
    body.push(
      `<text class="quiet" x="${left - 8}" y="${at(y.place(tick) + 4)}" text-anchor="end">${plain(tick)}</text>`,
    )
  }
  for (const [value, label] of xTicks) {
    body.push(`<path class="grid" d="M${at(x.place(value))} ${top}V${bottom}"/>`)
    body.push(`<text class="quiet" x="${at(x.place(value))}" y="${bottom + 20}" text-anchor="middle">${label}</text>`)
  }
  body.push(`<path class="axis" fill="none" d="M${left} ${top}V${bottom}H${right}"/>`)
  body.push(`<text x="${(left + right) / 2}" y="${bottom + 46}" text-anchor="middle">${escape(xLabel)}</text>`)
  const middle = (top + bottom) / 2
  body.push(
    `<text x="22" y="${middle}" text-anchor="middle" transform="rotate(-90 22 ${middle})">${escape(yLabel)}</text>`,
  )
  const ends = drawn
    .map(({ points }, index) => ({ index, y: y.place(points.at(-1)?.[1] ?? 1) }))
    .sort((a, b) => a.y - b.y)
  const placed = new Map<number, number>()
  // names that would lie upon each other move down
  let lowest = -Infinity
  for (const end of ends) {
    lowest = Math.max(end.y, lowest + 17)
    placed.set(end.index, lowest)
  }
  for (const [index, { name, points }] of drawn.entries()) {
    if (points.length === 0) continue
    const colour = palette.indexOf(name)
    const ours = colour === 0 ? ' ours' : ''
    const path = points.map(([px, py]) => `${at(x.place(px))} ${at(y.place(py))}`).join('L')
    body.push(`<path class="line c${colour}${ours}" d="M${path}"/>`)
    for (const [px, py] of points) {
      body.push(`<circle class="dot c${colour}" cx="${at(x.place(px))}" cy="${at(y.place(py))}" r="3.5"/>`)
    }
    body.push(
      `<text class="name c${colour}${ours}" x="${right + 12}" y="${at((placed.get(index) ?? 0) + 4)}">${escape(name)}</text>`,
    )
  }
  return page(title, height, body)
}

/** Rows with a dot for each contender on one logarithmic axis; a bar marks what is asked. */
export function dotPlot({ title, xLabel, rows, palette, line }: DotPlot): string {
  const [left, right, rowHeight] = [300, WIDTH - 30, 34]
  const names = palette.filter((name) => rows.some(({ dots }) => dots.some((dot) => dot.name === name)))
  const [ours] = palette
  const legendRows = Math.ceil(names.length / 6)
  const top = 52 + legendRows * 20 + (line === undefined ? 0 : 14)
  const bottom = top + rows.length * rowHeight + 6
  const values = rows.flatMap(({ dots, target }) => [...dots.map(({ value }) => value), target ?? Number.NaN])
  const { place, ticks } = logAxis([...values, line?.value ?? Number.NaN].filter(drawable), left, right)
  const body: string[] = []
  for (const [index, name] of names.entries()) {
    const x = 26 + (index % 6) * 142
    const y = 54 + Math.floor(index / 6) * 20
    body.push(`<circle class="dot c${palette.indexOf(name)}" cx="${x}" cy="${y - 4}" r="${name === ours ? 6 : 4}"/>`)
    body.push(
      `<text class="name c${palette.indexOf(name)}${name === ours ? ' ours' : ''}" x="${x + 10}" y="${y}">${escape(name)}</text>`,
    )
  }
  for (const tick of ticks) {
    body.push(`<path class="grid" d="M${at(place(tick))} ${top}V${bottom}"/>`)
    body.push(
      `<text class="quiet" x="${at(place(tick))}" y="${bottom + 18}" text-anchor="middle">${plain(tick)}</text>`,
    )
  }
  body.push(`<path class="axis" fill="none" d="M${left} ${bottom}H${right}"/>`)
  body.push(`<text x="${(left + right) / 2}" y="${bottom + 40}" text-anchor="middle">${escape(xLabel)}</text>`)
  if (line !== undefined) {
    body.push(`<path class="axis" stroke-dasharray="5 4" d="M${at(place(line.value))} ${top}V${bottom}"/>`)
    body.push(`<text class="quiet" x="${at(place(line.value) + 4)}" y="${top - 3}">${escape(line.name)}</text>`)
  }
  for (const [index, { title: rowTitle, target, dots }] of rows.entries()) {
    const y = top + index * rowHeight + rowHeight / 2
    body.push(`<text x="${left - 12}" y="${at(y + 4)}" text-anchor="end">${escape(rowTitle)}</text>`)
    body.push(`<path class="grid" d="M${left} ${at(y)}H${right}"/>`)
    if (target !== undefined) body.push(`<path class="target" d="M${at(place(target))} ${at(y - 11)}V${at(y + 11)}"/>`)
    // ours last: it lies on top
    for (const { name, value } of [...dots].sort((a, b) => Number(a.name === ours) - Number(b.name === ours))) {
      if (!drawable(value)) continue
      const radius = name === ours ? 7 : 4.5
      body.push(
        `<circle class="dot c${palette.indexOf(name)}" cx="${at(place(value))}" cy="${at(y)}" r="${radius}"><title>${escape(name)}: ${value.toPrecision(3)}</title></circle>`,
      )
    }
  }
  return page(title, bottom + 56, body)
}
