// Serves the stand-in for the client, and the example media it uploads, from an origin that is not the server's.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'

const files = {
  '/': ['../page/index.html', 'text/html; charset=utf-8'],
  '/client.js': ['../page/client.js', 'text/javascript; charset=utf-8'],
  '/recording.mp3': ['../../examples/media/recording.mp3', 'audio/mpeg'],
  '/notes.json': ['../../examples/media/notes.json', 'application/json'],
}

/** Port 0 is any free one. Answers the page's origin. */
export async function startPageServer(port) {
  const server = http.createServer(async (request, response) => {
    const [file, type] = files[new URL(request.url, 'http://localhost').pathname] ?? []
    if (!file) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': type }).end(await readFile(new URL(file, import.meta.url)))
  })
  server.listen(port, 'localhost')
  await once(server, 'listening')
  return {
    origin: `http://localhost:${server.address().port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
