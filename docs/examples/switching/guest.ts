/**
 * The guest's end: offers a folder and one port. Its first argument is the address to serve at.
 *
 * Run: `npx tsx guest.mts ADDRESS FOLDER [PORT]`. It prints the address and serves until it is
 * stopped.
 */
import { createServer } from 'node:http'
import { serve } from 'trunkline'
import { filesystem } from 'trunkline/protocols/filesystem'
import { tcpConnection } from 'trunkline/protocols/tcp-connection'

const [address = 'tcp://127.0.0.1:7000', folder = '.', port = '8080'] = process.argv.slice(2)

const page = createServer((_request, response) => response.setHeader('connection', 'close').end('hello from the guest'))
// a page to forward; the server below keeps this program alive
page.listen(Number(port), '127.0.0.1').unref()

const guest = await serve(address, {
  protocols: [filesystem({ root: folder }), tcpConnection({ allow: [`127.0.0.1:${port}`] })],
  onSessionError: ({ error }) => console.error(error.message),
})
console.log(guest.address)
