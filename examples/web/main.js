// Decides which parts of the page are shown.

import * as api from './api.js'
import { setUpAccount, showAccount } from './account.js'
import { forgetList, setOpened, setUpLibrary, showList } from './library.js'
import { attempt, onSessionEnded, say } from './messages.js'
import { forgetNewProject, setUpNewProject } from './new_project.js'
import { closeProject, mayLeave, openProject, setUpProject } from './project.js'
import { forgetTrash, setUpTrash, updateTrash } from './trash.js'

const main = document.querySelector('main')

let signedIn = null

setUpAccount({ onSignedIn: enter, maySignOut: mayLeave, onSignedOut: leave })
setUpLibrary({
  onOpen: async title => {
    if (await mayLeave()) await showProject(title)
  },
})
setUpNewProject({
  onSaved: async title => {
    await showList()
    if (await mayLeave()) await showProject(title)
  },
})
setUpProject({ onChanged: showLists, onClosed: projectClosed })
setUpTrash({ onRestored: showList })
onSessionEnded(askToSignIn)
attempt(async () => enter((await api.currentUser()).email))

async function enter(email) {
  // The session belongs to another user: nothing of the previous user may remain on the page.
  if (signedIn !== email) leave()
  signedIn = email
  main.classList.remove('signed-out')
  showAccount(email)
  await showList()
}

/** Keeps the open project and its unsaved notes until the user signs in again. */
function askToSignIn() {
  if (signedIn) say('Your session has ended. Please sign in again.')
  main.classList.add('signed-out')
  showAccount(null)
}

function leave() {
  signedIn = null
  closeProject()
  projectClosed()
  forgetList()
  forgetTrash()
  forgetNewProject()
  askToSignIn()
}

async function showProject(title) {
  setOpened(await openProject(title))
  // On a phone, only one of the two has enough space.
  main.classList.add('project-open')
}

async function showLists() {
  await showList()
  await updateTrash()
}

function projectClosed() {
  main.classList.remove('project-open')
  setOpened(null)
}
