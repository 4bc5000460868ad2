// All requests but the upload, which is in upload.js.

// A page for the public writes its server here, and takes none from the address: else a link could send passwords anywhere.
const api = new URLSearchParams(location.search).get('api') ?? 'http://localhost:8080'

export const urlOf = path => new URL(path, api).href

/** A request that was refused, or got no answer at all: `status` is 0 then. */
export class ApiError extends Error {
  constructor(status, { code, message, requestId }, retryAfterSeconds) {
    super(message)
    Object.assign(this, { status, code, requestId, retryAfterSeconds })
  }

  /** The server's errors have one shape; a proxy in front of it may answer with something else. */
  static fromAnswer(status, body, retryAfter) {
    let error
    try {
      error = JSON.parse(body)
    } catch {
      error = { message: `the answer was ${status}` }
    }
    return new ApiError(status, error, Number(retryAfter) || undefined)
  }

  /** Browsers do not tell a page more than this, nor whether CORS was the reason. */
  static withoutAnswer() {
    return new ApiError(0, { message: `no answer from ${api}: does it run, and may pages of ${location.origin} use it?` })
  }
}

async function send(path, options) {
  let response
  try {
    // The session is in cookies of the server's origin, which a page of another one sends only if told to.
    response = await fetch(urlOf(path), { credentials: 'include', ...options })
  } catch (error) {
    throw error.name === 'AbortError' ? error : ApiError.withoutAnswer()
  }
  if (!response.ok) {
    throw ApiError.fromAnswer(response.status, await response.text(), response.headers.get('Retry-After'))
  }
  return response
}

const sendJson = (path, body, options) =>
  send(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...options })

// URLSearchParams encodes whatever a title holds: `a/b`, `..`, `100 %`, `?`.
const withName = (path, name) => `${path}?${new URLSearchParams({ name })}`

/** Makes an account. It does not sign in, and so needs no cookies. */
export const register = (username, password) => sendJson('/auth/register', { username, password }, { credentials: 'omit' })

/** The answer sets the cookies, which renew themselves for as long as the session is used. */
export const signIn = async (username, password) => (await sendJson('/auth/signin', { username, password })).json()

export const signOut = () => send('/auth/signout', { method: 'DELETE' })

/** Who is signed in; an `ApiError` of status 401 if nobody is. */
export const currentUser = async () => (await send('/auth/user')).json()

export const firstPage = (search, limit) => `/home/list?${new URLSearchParams({ search, limit })}`

/** A page of the list, and where the next one is, if there is one. */
export async function list(page, signal) {
  const response = await send(page, { signal })
  const next = response.headers.get('Link')?.match(/<([^>]*)>; rel="next"/)?.[1]
  return { projects: await response.json(), next }
}

/** A project with its notes, and the revision they are of. */
export async function open(title) {
  const response = await send(withName('/home/open', title))
  return { ...(await response.json()), revision: response.headers.get('ETag') }
}

export const remove = title => send(withName('/home/delete', title), { method: 'DELETE' })
