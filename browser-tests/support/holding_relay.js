// A slow network: a relay in front of the server that holds a large request until the test releases it.

import { once } from 'node:events'
import net from 'node:net'

const passedBytes = 64 << 10

/**
 * Forwards the first bytes of each connection at once, and further bytes of the client only after `letGo`. `held` is
 * fulfilled when the relay holds bytes. Cookies ignore ports, so a page that uses this URL shares them with the server's.
 */
export async function startHoldingRelay(serverUrl) {
  let letGo, isHeld
  const free = new Promise(resolve => { letGo = resolve })
  const held = new Promise(resolve => { isHeld = resolve })
  const sockets = new Set()

  const relay = net.createServer(client => {
    const server = net.connect(new URL(serverUrl).port, '127.0.0.1')
    for (const [socket, other] of [[client, server], [server, client]]) {
      sockets.add(socket)
      socket.on('error', () => other.destroy()).on('close', () => { sockets.delete(socket); other.destroy() })
    }
    let passed = 0
    client.on('data', async chunk => {
      passed += chunk.length
      if (passed > passedBytes) {
        client.pause()
        isHeld()
        await free
        client.resume()
      }
      server.write(chunk)
    })
    server.pipe(client)
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    url: `http://localhost:${relay.address().port}`,
    held,
    letGo,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      relay.close()
    },
  }
}
