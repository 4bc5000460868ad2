// The open project: editing and saving its notes, and deleting it.

import * as api from './api.js'
import { setHistoryOf, setUpHistory } from './history.js'
import { attempt, say } from './messages.js'
import { notesContent, notesText, setUpNotes, showNotes } from './notes.js'
import { showPlayer } from './player.js'
import { ask } from './question.js'
import { save } from './upload.js'

const section = document.querySelector('#project')
const heading = document.querySelector('#project-title')
const saveButton = document.querySelector('#save')
const unsaved = document.querySelector('#unsaved')

const notSaved = 'Your notes are not saved.'

/** Metadata, the notes of the last save, and their revision; null while no project is open. */
let project = null

/** `onChanged` is called when the list is out of date, and `onClosed` when the project has been closed. */
export function setUpProject({ onChanged, onClosed }) {
  setUpNotes({ onChange: showUnsaved })
  setUpHistory({
    mayLeave,
    revision: () => project.revision,
    onRestored: async title => {
      show(await api.open(title))
      await onChanged()
    },
  })
  const close = () => {
    closeProject()
    onClosed()
  }
  document.querySelector('#close').addEventListener('click', () =>
    attempt(async () => {
      if (await mayLeave()) close()
    }),
  )
  saveButton.addEventListener('click', () =>
    attempt(async () => {
      const outcome = await saveNotes()
      if (!project) onClosed()
      await onChanged()
      say(outcome)
    }, saveButton),
  )
  document.querySelector('#delete').addEventListener('click', event =>
    attempt(async () => {
      if (!(await mayDelete())) return
      const { title } = project.metadata
      await api.remove(title)
      if (project?.metadata.title === title) close()
      await onChanged()
      say(`Deleted “${title}”. It is in the trash.`)
    }, event.target),
  )
  // The browser then asks the user before it leaves the page.
  window.addEventListener('beforeunload', event => {
    if (hasUnsaved()) event.preventDefault()
  })
}

/** Returns the title in the server's spelling. */
export async function openProject(title) {
  show(await api.open(title))
  heading.focus()
  return project.metadata.title
}

/** Removes the project from the page. */
export function closeProject() {
  project = null
  section.hidden = true
  heading.textContent = ''
  setHistoryOf(undefined)
  showNotes('[]', showPlayer({}))
}

/** Returns whether there are no unsaved changes, or the user agrees to lose them. */
export async function mayLeave() {
  if (!hasUnsaved()) return true
  const answer = await ask({
    question: 'Leave without saving?',
    explanation: 'Your changes since the last save will be lost.',
    choices: { stay: 'Stay here', leave: 'Leave' },
  })
  return answer === 'leave'
}

async function mayDelete() {
  const answer = await ask({
    question: 'Delete this project?',
    explanation: `“${project.metadata.title}” will move to the trash, with its notes, its media and its earlier versions.`,
    choices: { keep: 'Keep it', delete: 'Delete' },
  })
  return answer === 'delete'
}

function show({ metadata, content, revision }) {
  project = { metadata, revision }
  heading.textContent = metadata.title
  setHistoryOf(metadata.title)
  showNotes(content, showPlayer(metadata))
  project.saved = notesContent()
  section.hidden = false
  showUnsaved()
}

const hasUnsaved = () => project !== null && notesContent() !== project.saved

function showUnsaved() {
  unsaved.hidden = !hasUnsaved()
}

/**
 * Saves the notes if the project has not changed since it was opened. Returns the outcome.
 *
 * The media is kept, and not sent again.
 */
async function saveNotes() {
  const saving = project
  const content = notesContent()
  try {
    const revision = await save({ metadata: saving.metadata, content, revision: saving.revision })
    // The user may have edited the notes meanwhile, or opened another project.
    Object.assign(saving, { revision, saved: content })
    showUnsaved()
    return 'Saved.'
  } catch (error) {
    if (error.status !== 412) throw error
  }
  // The project was saved elsewhere meanwhile, perhaps in another tab. Only the user knows which notes are right.
  const theirs = await openIfThere(saving.metadata.title)
  if (project !== saving) return notSaved
  return theirs ? settleWith(theirs) : settleDeleted()
}

async function settleWith(theirs) {
  const answer = await ask({
    question: 'Saved elsewhere meanwhile',
    explanation: 'Since you opened this project, other notes have been saved, perhaps in another tab:',
    quoted: notesText(theirs.content) || '(nothing)',
    choices: { theirs: 'Take these, drop mine', mine: 'Overwrite them with mine' },
  })
  if (answer === 'theirs') {
    show(theirs)
    return 'These are the notes that were saved elsewhere.'
  }
  if (answer !== 'mine') return notSaved
  // Only the revision that the user has just seen is overwritten: if the project has changed again, the user is asked again.
  project.revision = theirs.revision
  return saveNotes()
}

async function settleDeleted() {
  const { title } = project.metadata
  const answer = await ask({
    question: 'Deleted elsewhere meanwhile',
    explanation: `“${title}” has been deleted, perhaps in another tab. It is in the trash with its media; your notes are still here.`,
    choices: { mine: 'Save my notes again', drop: 'Drop them too' },
  })
  if (answer === 'drop') {
    closeProject()
    return ''
  }
  if (answer !== 'mine') return notSaved
  show({ metadata: { title }, content: notesContent(), revision: null })
  project.saved = null
  return saveNotes()
}

async function openIfThere(title) {
  try {
    return await api.open(title)
  } catch (error) {
    if (error.status === 404) return null
    throw error
  }
}
