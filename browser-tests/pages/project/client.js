// Sends what the notestamp clients since October 2024 send: the same routes, bodies and credentials.

import './player.js'

const api = new URLSearchParams(location.search).get('api')

// One response, for the tests. As in the client, every response is JSON, and a blocked request throws.
async function send(path, options = {}) {
  const response = await fetch(api + path, { credentials: 'include', ...options })
  return { status: response.status, body: await response.json() }
}

const postJson = (path, body) =>
  send(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

const bytes = (content, name) => new File([content], name, { type: 'application/octet-stream' })

window.client = {
  register: (username, password) => postJson('/auth/register', { username, password }),

  logIn: (username, password) => postJson('/auth/login', { username, password }),

  user: () => send('/auth/user'),

  logOut: () => send('/auth/logout', { method: 'POST' }),

  // `media` is a Blob, or null for a later save of the same project.
  save: (metadata, notes, media) => {
    const form = new FormData()
    form.append('mediaFile', media && bytes(media, 'media'))
    form.append('notesFile', bytes(JSON.stringify(notes), 'notes'))
    form.append('metadata', JSON.stringify(metadata))
    return send('/project/save', { method: 'POST', body: form })
  },

  list: (page, search, type, oldestFirst) =>
    send(`/project/list?${new URLSearchParams({
      pageParam: page,
      searchParam: search,
      columnFilters: JSON.stringify(type ? [{ id: 'type', value: type }] : []),
      sorting: JSON.stringify(oldestFirst ? [{ id: 'lastModified', desc: false }] : []),
    })}`),

  get: title => send(`/project/get/${encodeURIComponent(title)}`),

  delete: title => send(`/project/delete/${encodeURIComponent(title)}`, { method: 'DELETE' }),

  // By the media's URL, without credentials.
  mediaBytes: async src => {
    const response = await fetch(src)
    return { status: response.status, bytes: (await response.arrayBuffer()).byteLength }
  },
}
