// All requests but the upload, which is in upload.js.

// A page for the public writes its server here, and takes none from the address: else a link could send passwords anywhere.
const api = new URLSearchParams(location.search).get('api') ?? 'http://localhost:8080'

/** The server may be below a path of its host, as a reverse proxy puts it there. */
export const urlOf = path => new URL(path.replace(/^\//, ''), api.replace(/\/?$/, '/')).href

/** A request that was refused, or got no whole response: `status` is 0 then. */
export class ApiError extends Error {
  constructor(status, { code, message, requestId }, retryAfterSeconds) {
    super(message)
    Object.assign(this, { status, code, requestId, retryAfterSeconds })
  }

  /** The server's errors have one shape; a proxy in front of it may respond with something else. */
  static fromAnswer(status, body, retryAfter) {
    const error = parseJson(body)
    const known = typeof error?.message === 'string' ? error : { message: `the answer was ${status}` }
    return new ApiError(status, known, Number(retryAfter) || undefined)
  }

  /** No response, or only a part of one. Browsers do not tell a page more, nor whether CORS was the reason. */
  static withoutAnswer() {
    return new ApiError(0, { message: `no answer from ${api}: does it run, and may pages of ${location.origin} use it?` })
  }
}

/** Sends a request and reads the whole response: its headers and its JSON. Fails with an `ApiError`, or is aborted. */
async function send(path, options) {
  let response, text
  try {
    // The session is in cookies of the server's origin, which a page of another one sends only if told to.
    response = await fetch(urlOf(path), { credentials: 'include', ...options })
    // Inside of the `try`: the connection can break in the middle of the body, too.
    text = await response.text()
  } catch (error) {
    throw error.name === 'AbortError' ? error : ApiError.withoutAnswer()
  }
  const { status, headers } = response
  if (!response.ok) throw ApiError.fromAnswer(status, text, headers.get('Retry-After'))
  const body = parseJson(text)
  if (body === undefined) throw new ApiError(status, { message: `${api} did not respond with JSON: is it the server?` })
  return { headers, body }
}

/** The value, or undefined where the text is no JSON. */
function parseJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const sendJson = (path, body, options) =>
  send(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...options })

// URLSearchParams encodes whatever a title holds: `a/b`, `..`, `100 %`, `?`.
const withName = (path, name) => `${path}?${new URLSearchParams({ name })}`

/** Makes an account. It does not sign in, and so needs no cookies. */
export const register = (username, password) => sendJson('/auth/register', { username, password }, { credentials: 'omit' })

/** The answer sets the cookies, which renew themselves for as long as the session is used. */
export const signIn = async (username, password) => (await sendJson('/auth/signin', { username, password })).body

export const signOut = () => send('/auth/signout', { method: 'DELETE' })

/** Who is signed in; an `ApiError` of status 401 if nobody is. */
export const currentUser = async () => (await send('/auth/user')).body

export const firstPage = (search, limit) => `/home/list?${new URLSearchParams({ search, limit })}`

/** A page of the list, and where the next one is, if there is one. */
export async function list(page, signal) {
  const { headers, body } = await send(page, { signal })
  const next = headers.get('Link')?.match(/<([^>]*)>; rel="next"/)?.[1]
  return { projects: body, next }
}

/** A project with its notes, and the revision they are of. */
export async function open(title) {
  const { headers, body } = await send(withName('/home/open', title))
  return { ...body, revision: headers.get('ETag') }
}

export const remove = title => send(withName('/home/delete', title), { method: 'DELETE' })
