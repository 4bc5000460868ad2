// What the page tells its user, in two live regions: what has been done, and what has failed.

import { ApiError } from './api.js'

const done = document.querySelector('#status')
const failed = document.querySelector('#alert')

export function say(text) {
  done.textContent = text
  failed.textContent = ''
}

export function sayError(error) {
  done.textContent = ''
  failed.textContent = explain(error)
}

function explain(error) {
  if (!(error instanceof ApiError)) {
    console.error(error)
    return `Something is wrong with this page: ${error.message}`
  }
  const sentences = [error.message.charAt(0).toUpperCase() + error.message.slice(1) + '.']
  // With 429, too many failed sign-ins, and 503, something behind the server is away for a moment.
  if (error.retryAfterSeconds) sentences.push(`Try again in ${error.retryAfterSeconds} seconds.`)
  // The server's log has it too.
  if (error.requestId) sentences.push(`(Request ${error.requestId})`)
  return sentences.join(' ')
}

let sessionEnded

/** What to do when a request finds that nobody is signed in any more. */
export function onSessionEnded(action) {
  sessionEnded = action
}

/** Does what the user asked for, and says what went wrong. While an `element` is busy with it, clicks do nothing more. */
export async function attempt(action, element) {
  if (element?.ariaBusy) return
  if (element) element.ariaBusy = 'true'
  say('')
  try {
    await action()
  } catch (error) {
    if (error.status === 401) sessionEnded()
    else if (error.name !== 'AbortError') sayError(error)
  } finally {
    if (element) element.ariaBusy = null
  }
}
