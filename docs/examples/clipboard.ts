/**
 * A clipboard for both ends of a trunk: each serves its own, and gets, sets and watches the other's
 * (a real one: wl-copy).
 */
import { EventEmitter, once } from 'node:events'
import { defineProtocol, TrunkError, type Pipe, type Protocol, type Trunk } from 'trunkline'

export class Clipboard extends EventEmitter {
  text = ''
  set(text: string): void {
    this.text = text
    this.emit('change')
  }
}

export const clipboard = (local: Clipboard): Protocol =>
  defineProtocol({
    name: 'clipboard',
    parse(action) {
      if (action === 'get' || action === 'set' || action === 'watch') return action
      throw new TrunkError('ERR_PARAMS_INVALID', 'the clipboard does get, set and watch')
    },
    async handle({ params: action, accept, signal }) {
      const pipe = accept()
      if (action === 'set') local.set(await readText(pipe))
      if (action === 'get') await pipe.write(Buffer.from(local.text))
      for (let told = local.text; action === 'watch';) {
        if (told === local.text) await once(local, 'change', { signal })
        told = local.text
        // "changed": the watcher gets the text, so none queue up for a slow one
        await pipe.write(Uint8Array.of(1))
      }
    },
  })

export const getClipboard = async (trunk: Trunk): Promise<string> =>
  await readText(await trunk.open('clipboard', 'get', { body: new Uint8Array(0) }))

export async function setClipboard(trunk: Trunk, text: string): Promise<void> {
  const pipe = await trunk.open('clipboard', 'set')
  await pipe.write(Buffer.from(text))
  await pipe.close() // the peer's handler is done: the text is there
}

/** The peer's text, now and after each change, until the loop is left. */
export async function* watchClipboard(trunk: Trunk): AsyncGenerator<string, void> {
  const pipe = await trunk.open('clipboard', 'watch', { body: new Uint8Array(0) })
  try {
    yield await getClipboard(trunk)
    for await (const _ of pipe.source) yield await getClipboard(trunk)
  } finally {
    // its handler waits for a change: wake it
    pipe.abort(new TrunkError('ERR_ABORTED', 'the watcher has left'))
  }
}

async function readText(pipe: Pipe, text = ''): Promise<string> {
  const decoder = new TextDecoder()
  for await (const bytes of pipe.source) {
    text += decoder.decode(bytes.subarray(), { stream: true })
    if (text.length > 1_000_000) throw new TrunkError('CLIPBOARD_TOO_LONG', 'a text has at most a million characters')
  }
  return text
}
