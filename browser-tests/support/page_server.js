// Serves the pages under test from another origin than the server's.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'

const project = new URL('../../', import.meta.url).pathname

const types = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mp3': 'audio/mpeg',
}

/** Serves the files of these folders of the project at `/`. Port 0 selects a free port. Returns the origin of the pages. */
export async function startPageServer(port, ...folders) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    const name = pathname === '/' ? '/index.html' : pathname
    for (const folder of folders) {
      const body = await readFile(path.join(project, folder, name)).catch(() => null)
      if (body) return response.writeHead(200, { 'content-type': types[path.extname(name)] }).end(body)
    }
    response.writeHead(404).end()
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
