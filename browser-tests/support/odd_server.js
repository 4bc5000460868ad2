// A server that returns the same response to every request, such as half a body, like proxies and broken connections.

import { once } from 'node:events'
import http from 'node:http'

/** With `breaksOff`, it closes the connection in the middle of the body. Returns its URL. */
export async function startOddServer(allowedOrigin, { status, body, breaksOff = false }) {
  const server = http.createServer((request, response) => {
    response.writeHead(status, {
      'access-control-allow-origin': allowedOrigin,
      'access-control-allow-credentials': 'true',
      'content-type': 'application/json',
      'content-length': body.length * (breaksOff ? 2 : 1),
    })
    if (breaksOff) response.write(body, () => response.destroy())
    else response.end(body)
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  return {
    url: `http://localhost:${server.address().port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
