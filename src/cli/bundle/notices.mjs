import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.mjs'

const LICENCE = /^(licen[cs]e|notice|copying)(\.|-|$)/i

/** The licences of the packages that are in the bundle, as each of them brings it. */
export function notices({ inputs }) {
  const { license: ours } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const folders = new Set()
  for (const path of Object.keys(inputs)) {
    if (/^\w+:/.test(path)) continue
    const found = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)
    if (found) folders.add(found[0])
  }
  const parts = [...folders].sort().map((folder) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const files = readdirSync(join(root, folder)).filter((file) => LICENCE.test(file))
    const texts = files.map((file) => readFileSync(join(root, folder, file), 'utf8').trim())
    // some packages of one author bring no text: theirs are the two that trunkline has itself
    const none = `By ${author}. The texts of its licences are in trunkline's own file LICENSE.`
    if (texts.length === 0 && license !== ours) throw new Error(`${folder} has no file with its licence`)
    return [`${name} ${version} (${license})`, ...(texts.length > 0 ? texts : [none])].join('\n\n')
  })
  return `The command line contains these packages.\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}
