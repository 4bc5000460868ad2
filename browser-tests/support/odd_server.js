// A server that responds to everything with the same, such as half a body: what proxies and broken connections do.

import { once } from 'node:events'
import http from 'node:http'

/** `breaksOff` closes the connection in the middle of the body. Returns its URL. */
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
