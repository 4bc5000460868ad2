// The server under test: the one at SERVER_URL, or a new one on a free port with an empty data folder.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

const binary = new URL('../../target/debug/notestamp-server', import.meta.url).pathname
const startTimeoutMs = 30_000

/** Starts the server for a page of this origin. Returns its URL with `localhost`, so that cookies are same-site. */
export async function startServer(allowedOrigin, ...settings) {
  if (process.env.SERVER_URL) return { url: process.env.SERVER_URL.replace(/\/$/, ''), stop: async () => {} }

  const data = await mkdtemp(path.join(tmpdir(), 'notestamp-browser-'))
  const server = spawn(
    binary,
    ['--data', data, '--listen', '127.0.0.1:0', '--allow-origin', allowedOrigin, ...settings],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGTERM')
      const exited = once(server, 'exit')
      const hung = setTimeout(() => server.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(hung)
    }
    await rm(data, { recursive: true, force: true })
  }
  try {
    const address = await listeningAddress(server)
    return { url: address.replace('127.0.0.1', 'localhost'), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Reads the server's output up to its address; later output is read and ignored. */
function listeningAddress(server) {
  return new Promise((resolve, reject) => {
    let said = ''
    const tooLate = setTimeout(() => reject(new Error(`no address within ${startTimeoutMs} ms:\n${said}`)), startTimeoutMs)
    // Chunks may end anywhere, so the line is complete only when a character follows the address.
    const listen = chunk => {
      said = (said + chunk).slice(-10_000)
      const address = said.match(/listening on (http:\/\/[\w.:[\]]+)[^\w.:[\]]/)?.[1]
      if (address) {
        clearTimeout(tooLate)
        resolve(address)
      }
    }
    server.stdout.setEncoding('utf8').on('data', listen)
    server.stderr.setEncoding('utf8').on('data', listen)
    server.once('error', reject)
    server.once('exit', code => reject(new Error(`the server exited with ${code}:\n${said}`)))
  })
}
