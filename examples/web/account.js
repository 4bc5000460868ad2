// Registering, signing in and signing out.

import * as api from './api.js'
import { attempt, say, sayError } from './messages.js'

const section = document.querySelector('#account')
const form = document.querySelector('#account-form')
const { username, password } = form.elements
const user = document.querySelector('#user')

/** `onSignedIn` gets the email address. `maySignOut` decides whether to sign out, and `onSignedOut` is called after it. */
export function setUpAccount({ onSignedIn, maySignOut, onSignedOut }) {
  form.addEventListener('submit', event => {
    event.preventDefault()
    attempt(async () => {
      if (event.submitter?.value === 'register') await api.register(username.value, password.value)
      await signIn(onSignedIn)
    }, form)
  })

  document.querySelector('#sign-out').addEventListener('click', event =>
    attempt(async () => {
      if (!(await maySignOut())) return
      await api.signOut()
      onSignedOut()
      say('You are signed out.')
    }, event.target),
  )
}

async function signIn(onSignedIn) {
  try {
    const { email } = await api.signIn(username.value, password.value)
    form.reset()
    say('You are signed in.')
    await onSignedIn(email)
  } catch (error) {
    // Here, 401 means a wrong password, not an ended session.
    if (error.status !== 401) throw error
    sayError(error)
  }
}

/** Shows the form, or the user who is signed in. */
export function showAccount(email) {
  section.hidden = Boolean(email)
  user.hidden = !email
  document.querySelector('#email').textContent = email ?? ''
  if (!email) username.focus()
}
