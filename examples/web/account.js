// Registering, signing in and signing out.

import * as api from './api.js'
import { attempt, say, sayError } from './messages.js'

const section = document.querySelector('#account')
const form = document.querySelector('#account-form')
const { username, password } = form.elements
const user = document.querySelector('#user')

/** `onSignedIn` is told the email address. `maySignOut` may refuse, and `onSignedOut` is what follows. */
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
    // Here, 401 is no session that has ended, but a wrong password.
    if (error.status !== 401) throw error
    sayError(error)
  }
}

/** The form, or who is signed in. */
export function showAccount(email) {
  section.hidden = Boolean(email)
  user.hidden = !email
  document.querySelector('#email').textContent = email ?? ''
  if (!email) username.focus()
}
