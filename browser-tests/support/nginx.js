// A real nginx with one of the configurations in docs/nginx/, on a free port, with a certificate for the test.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const project = new URL('../../', import.meta.url).pathname
const startTimeoutMs = 30_000
/** The host name in the configurations; in the tests' browser, it resolves to this machine. */
export const host = 'notes.example.org'

/** A port that was free a moment ago, because nginx does not support port 0. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Starts nginx in front of the server at this URL. In the configuration, only ports, paths and names of a real machine are replaced. */
export async function startNginx(configuration, port, serverUrl) {
  const folder = await mkdtemp(path.join(tmpdir(), 'notestamp-nginx-'))
  await makeCertificate(folder)
  const replacements = [
    ['listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`],
    [`/etc/ssl/${host}/`, `${folder}/`],
    ['/var/log/nginx/', `${folder}/`],
    ['http://127.0.0.1:8080', serverUrl.replace('localhost', '127.0.0.1')],
  ]
  if (configuration === 'below-a-path.conf') replacements.push(['root /var/www/notestamp;', `root ${project}examples/web;`])
  let text = await readFile(path.join(project, 'docs/nginx', configuration), 'utf8')
  for (const [from, to] of replacements) {
    assert.ok(text.includes(from), `${configuration} has ${from}`)
    // Some of these texts also occur in comments.
    text = text.replaceAll(from, to)
  }
  await writeFile(path.join(folder, configuration), text)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`)
  await writeFile(path.join(folder, 'nginx.conf'), `
    daemon off; user root; pid ${folder}/pid; worker_processes 1; error_log stderr;
    events { worker_connections 256; }
    http { include /etc/nginx/mime.types; ${temporary.join(' ')} include ${folder}/${configuration}; }
  `)

  const nginx = spawn('nginx', ['-p', folder, '-c', `${folder}/nginx.conf`], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  nginx.stderr.setEncoding('utf8').on('data', chunk => { said = (said + chunk).slice(-10_000) })
  const exited = once(nginx, 'exit')
  const stop = async () => {
    nginx.kill('SIGTERM')
    await exited
    await rm(folder, { recursive: true, force: true })
  }
  const end = Date.now() + startTimeoutMs
  while (!(await connects(port))) {
    if (nginx.exitCode !== null || Date.now() > end) {
      await stop()
      throw new Error(`nginx does not listen:\n${said}`)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return { origin: `https://${host}:${port}`, log: () => readFile(path.join(folder, 'notestamp.log'), 'utf8'), stop }
}

async function makeCertificate(folder) {
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`,
    '-keyout', `${folder}/privkey.pem`, '-out', `${folder}/fullchain.pem`,
  ])
}

function connects(port) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => socket.end(() => resolve(true)))
    socket.on('error', () => resolve(false))
  })
}
