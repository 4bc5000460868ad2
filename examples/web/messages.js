// Messages to the user, in two live regions: one for successes, one for errors.

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
    return `This page has an error: ${error.message}`
  }
  const sentences = [error.message.charAt(0).toUpperCase() + error.message.slice(1) + '.']
  // With 429 (too many failed sign-ins) and 503 (a store of the server is temporarily unavailable).
  if (error.retryAfterSeconds) sentences.push(`Try again in ${error.retryAfterSeconds} seconds.`)
  // The id is also in the server's log.
  if (error.requestId) sentences.push(`(Request ${error.requestId})`)
  return sentences.join(' ')
}

let sessionEnded

/** Sets the action for a request that finds that the session has ended. */
export function onSessionEnded(action) {
  sessionEnded = action
}

/** Performs an action of the user, and shows its error. Until it is done, further clicks on its `element` are ignored. */
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
