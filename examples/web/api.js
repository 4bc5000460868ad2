// All requests except the upload, which is in upload.js.

// The server that serves this page (`--site examples/web`), or one beside it if the page has a server of its own.
const usual = location.port === '3000' ? 'http://localhost:8080' : location.origin

// A public page must have only its server's URL here: otherwise a link could send passwords to another server.
const api = new URLSearchParams(location.search).get('api') ?? usual

/** The server may be below a path of its host, behind a reverse proxy. */
export const urlOf = path => new URL(path.replace(/^\//, ''), api.replace(/\/?$/, '/')).href

/** A request that was refused; or one without a complete response, then `status` is 0. */
export class ApiError extends Error {
  constructor(status, { code, message, requestId }, retryAfterSeconds) {
    super(message)
    Object.assign(this, { status, code, requestId, retryAfterSeconds })
  }

  /** All errors of the server have the same JSON; those of a proxy in front of it may differ. */
  static fromResponse(status, body, retryAfter) {
    const error = parseJson(body)
    const known = typeof error?.message === 'string' ? error : { message: `the response had the status ${status}` }
    return new ApiError(status, known, Number(retryAfter) || undefined)
  }

  /** No response, or an incomplete one. Browsers do not tell the page the reason, such as CORS. */
  static withoutResponse() {
    return new ApiError(0, { message: `no response from ${api}: is it running, and are pages of ${location.origin} allowed to use it?` })
  }
}

/** Sends a request and reads the whole response: its headers and its JSON. Fails with an `ApiError`, or is aborted. */
async function send(path, options) {
  let response, text
  try {
    // The session is in cookies of the server's origin; a page of another origin must ask the browser to send them.
    response = await fetch(urlOf(path), { credentials: 'include', ...options })
    // Inside the `try`, because the connection can also break in the middle of the body.
    text = await response.text()
  } catch (error) {
    throw error.name === 'AbortError' ? error : ApiError.withoutResponse()
  }
  const { status, headers } = response
  if (!response.ok) throw ApiError.fromResponse(status, text, headers.get('Retry-After'))
  const body = parseJson(text)
  if (body === undefined) throw new ApiError(status, { message: `${api} did not respond with JSON: is it the server?` })
  return { headers, body }
}

/** The value, or undefined if the text is not JSON. */
function parseJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const sendJson = (path, body, options) =>
  send(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...options })

// URLSearchParams encodes any title: `a/b`, `..`, `100 %`, `?`.
const withParameters = (path, parameters) => `${path}?${new URLSearchParams(parameters)}`

/** Creates an account. It does not sign in, so it needs no cookies. */
export const register = (username, password) => sendJson('/auth/register', { username, password }, { credentials: 'omit' })

/** The response sets the cookies, and the server renews them while the session is used. */
export const signIn = async (username, password) => (await sendJson('/auth/signin', { username, password })).body

export const signOut = () => send('/auth/signout', { method: 'DELETE' })

/** The user who is signed in; fails with an `ApiError` of status 401 without a valid session. */
export const currentUser = async () => (await send('/auth/user')).body

export const firstPage = (search, limit) => `/home/list?${new URLSearchParams({ search, limit })}`

/** A page of the list, and the URL of the next page; undefined on the last page. */
export async function list(page, signal) {
  const { headers, body } = await send(page, { signal })
  const next = headers.get('Link')?.match(/<([^>]*)>; rel="next"/)?.[1]
  return { projects: body, next }
}

/** A project with its notes, and their revision. */
export async function open(title) {
  const { headers, body } = await send(withParameters('/home/open', { name: title }))
  return { ...body, revision: headers.get('ETag') }
}

/** Moves a project to the trash. */
export const remove = title => send(withParameters('/home/delete', { name: title }), { method: 'DELETE' })

/** The versions of a project, the newest first; the first is the current state. */
export const history = async title => (await send(withParameters('/home/history', { name: title }))).body

export const openVersion = async (title, revision) =>
  (await send(withParameters('/home/open', { name: title, revision }))).body

/** Restores a version, if the project still has the revision `seen`. */
export const restoreVersion = (title, revision, seen) =>
  send(withParameters('/home/restore', { name: title, revision }), { method: 'POST', headers: { 'If-Match': seen } })

export const trash = async () => (await send('/home/trash')).body

/** Restores a project from the trash, under another title if one is given. */
export const restoreTrashed = (id, title) =>
  send(withParameters('/home/trash/restore', title === undefined ? { id } : { id, title }), { method: 'POST' })

/** Deletes a project in the trash for good. */
export const purge = id => send(withParameters('/home/trash', { id }), { method: 'DELETE' })

export const emptyTrash = () => send('/home/trash', { method: 'DELETE' })
