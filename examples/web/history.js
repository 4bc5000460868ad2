// The versions of the open project: what each save has replaced. Each can be looked at, and restored.

import * as api from './api.js'
import { attempt, say } from './messages.js'
import { notesText } from './notes.js'
import { ask } from './question.js'

const details = document.querySelector('#history')
const items = document.querySelector('#versions')

let title

/** `onRestored` is called when a version has been restored. `revision` returns the revision that the user sees. */
export function setUpHistory({ mayLeave, revision, onRestored }) {
  details.addEventListener('toggle', () => {
    if (details.open && title) attempt(showVersions, items)
  })
  items.addEventListener('click', event => {
    const button = event.target.closest('button')
    if (!button) return
    attempt(async () => {
      const number = button.dataset.revision
      if (!(await mayRestore(number)) || !(await mayLeave())) return
      // Only if the project is still as the user sees it: otherwise another tab has saved meanwhile (412).
      await api.restoreVersion(title, number, revision())
      await onRestored(title)
      say('Restored. What it has replaced is a version now.')
    }, items)
  })
}

/** Shows the history of another project, or of none. */
export function setHistoryOf(newTitle) {
  title = newTitle
  details.open = false
  items.replaceChildren()
}

async function showVersions() {
  const [, ...versions] = await api.history(title)
  items.replaceChildren(...versions.map(item))
  if (versions.length === 0) items.textContent = 'No earlier versions yet.'
}

async function mayRestore(number) {
  const { metadata, content } = await api.openVersion(title, number)
  const media = metadata.mediaDigest ? 'These are its notes. It has media.' : 'These are its notes. It has no media.'
  const answer = await ask({
    question: 'An earlier version',
    explanation: media,
    quoted: notesText(content) || '(nothing)',
    choices: { close: 'Close', restore: 'Restore it' },
  })
  return answer === 'restore'
}

function item({ revision, saved, notesSize, mediaSize }) {
  const button = document.createElement('button')
  button.type = 'button'
  button.dataset.revision = revision
  const when = new Date(saved).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
  button.textContent = [when, `${notesSize} bytes of notes`, mediaSize === undefined ? 'no media' : 'media'].join(' · ')
  const line = document.createElement('li')
  line.append(button)
  return line
}
