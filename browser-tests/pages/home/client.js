// Sends what the notestamp client of 2023-24 sends: the same routes, bodies and credentials.

const api = new URLSearchParams(location.search).get('api')

// One answer for the tests to look at. Anything the browser blocks (CORS above all) throws here, as in the client.
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
  // Without credentials: the cookie of a registration would be dropped.
  register: (username, password) => postJson('/auth/register', { username, password }),

  signIn: (username, password) => postJson('/auth/signin', { username, password }, { credentials: 'include' }),

  signOut: () => send('/auth/signout', { method: 'DELETE', credentials: 'include' }),

  // `media` is a Blob, or null for a project that has been saved before; FormData makes the text "null" of that.
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

const audio = document.querySelector('audio')

window.player = {
  // Answers the duration in seconds, once the browser knows it.
  load: src =>
    new Promise((resolve, reject) => {
      audio.addEventListener('loadedmetadata', () => resolve(audio.duration), { once: true })
      audio.addEventListener('error', () => reject(new Error(`the audio element: ${audio.error.message}`)), { once: true })
      audio.src = src
    }),

  seek: seconds =>
    new Promise(resolve => {
      audio.addEventListener('seeked', () => resolve(audio.currentTime), { once: true })
      audio.currentTime = seconds
    }),
}

document.querySelector('button').addEventListener('click', () => audio.play())

// A silent WAV of this many bytes: 8 bits, mono, 8,000 bytes to the second.
window.silence = bytes => {
  const rate = 8_000
  const wav = new DataView(new ArrayBuffer(44 + bytes))
  const text = (at, value) => [...value].forEach((letter, i) => wav.setUint8(at + i, letter.charCodeAt(0)))
  text(0, 'RIFF')
  wav.setUint32(4, 36 + bytes, true)
  text(8, 'WAVEfmt ')
  wav.setUint32(16, 16, true)
  wav.setUint16(20, 1, true)
  wav.setUint16(22, 1, true)
  wav.setUint32(24, rate, true)
  wav.setUint32(28, rate, true)
  wav.setUint16(32, 1, true)
  wav.setUint16(34, 8, true)
  text(36, 'data')
  wav.setUint32(40, bytes, true)
  new Uint8Array(wav.buffer, 44).fill(128)
  return new Blob([wav], { type: 'audio/wav' })
}
