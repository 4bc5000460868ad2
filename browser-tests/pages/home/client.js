// Sends what the notestamp client of 2023-24 sends: the same routes, bodies and credentials.

import './player.js'
import { silence } from './silence.js'

const api = new URLSearchParams(location.search).get('api')

// One response, for the tests. As in the client, a request that the browser blocks (above all by CORS) throws.
async function send(path, options) {
  const response = await fetch(api + path, options)
  return { status: response.status, etag: response.headers.get('etag'), body: await response.json() }
}

function postJson(path, body, options = {}) {
  return send(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify(body),
    ...options,
  })
}

const withName = (path, name) => `${path}?${new URLSearchParams({ name })}`

window.client = {
  // Without credentials, so the browser would ignore a cookie in the response.
  register: (username, password) => postJson('/auth/register', { username, password }),

  signIn: (username, password) => postJson('/auth/signin', { username, password }, { credentials: 'include' }),

  signOut: () => send('/auth/signout', { method: 'DELETE', credentials: 'include' }),

  // `media` is a Blob, or null for a later save of the same project; FormData converts null to the text "null".
  save: (metadata, content, media) => {
    const form = new FormData()
    form.append('mediaFile', media)
    form.append('content', JSON.stringify(content))
    form.append('metadata', JSON.stringify(metadata))
    return send('/home/upload', { method: 'POST', credentials: 'include', body: form })
  },

  list: () => send('/home/list', { credentials: 'include' }),

  open: title => send(withName('/home/open', title), { credentials: 'include' }),

  delete: title => send(withName('/home/delete', title), { method: 'DELETE', credentials: 'include' }),

  mediaBytes: async title => {
    const response = await fetch(`${api}/home/media-file/${encodeURIComponent(title)}`, { credentials: 'include' })
    return { status: response.status, bytes: (await response.arrayBuffer()).byteLength }
  },
}

window.silence = bytes => new Blob([silence(bytes)], { type: 'audio/wav' })
