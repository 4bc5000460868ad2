// The trash: deleted projects, which can be restored for a while.

import * as api from './api.js'
import { attempt, say } from './messages.js'
import { ask } from './question.js'

const details = document.querySelector('#trash')
const items = document.querySelector('#trashed')
const empty = document.querySelector('#empty-trash')

/** `onRestored` is called when the list of projects is out of date. */
export function setUpTrash({ onRestored }) {
  details.addEventListener('toggle', () => {
    if (details.open) attempt(showTrash, items)
  })
  items.addEventListener('click', event => {
    const button = event.target.closest('button')
    if (!button) return
    const { id, title } = button.closest('li').dataset
    attempt(async () => {
      if (button.value === 'restore') {
        const restored = await restore(id, title)
        if (!restored) return
        await onRestored()
        say(`Restored “${restored}”.`)
      } else {
        if (!(await mayPurge(`“${title}”, its notes, its media and its versions`))) return
        await api.purge(id)
        say(`Deleted “${title}” for good.`)
      }
      await showTrash()
    }, items)
  })
  empty.addEventListener('click', () =>
    attempt(async () => {
      if (!(await mayPurge('Everything in the trash'))) return
      await api.emptyTrash()
      await showTrash()
      say('The trash is empty.')
    }, empty),
  )
}

/** Reads the trash again if it is shown. */
export async function updateTrash() {
  if (details.open) await showTrash()
}

export function forgetTrash() {
  details.open = false
  items.replaceChildren()
}

async function showTrash() {
  const trashed = await api.trash()
  items.replaceChildren(...trashed.map(item))
  if (trashed.length === 0) items.textContent = 'The trash is empty.'
  empty.hidden = trashed.length === 0
}

/** Returns the title of the restored project; undefined if the user has cancelled. */
async function restore(id, title) {
  try {
    await api.restoreTrashed(id)
    return title
  } catch (error) {
    if (error.code !== 'title_taken') throw error
  }
  const other = `${title} (restored)`
  const answer = await ask({
    question: 'This title is taken',
    explanation: `Another project is called “${title}” now.`,
    choices: { cancel: 'Cancel', rename: `Restore as “${other}”` },
  })
  if (answer !== 'rename') return undefined
  await api.restoreTrashed(id, other)
  return other
}

async function mayPurge(what) {
  const answer = await ask({
    question: 'Delete for good?',
    explanation: `${what} will be deleted. This cannot be undone.`,
    choices: { keep: 'Keep', purge: 'Delete for good' },
  })
  return answer === 'purge'
}

function item({ id, title, deleted, purged }) {
  const name = document.createElement('span')
  name.dir = 'auto'
  name.textContent = title
  const facts = document.createElement('small')
  facts.textContent = `deleted ${day(deleted)} · kept until ${day(purged)}`
  const buttons = [
    ['restore', 'Restore'],
    ['purge', 'Delete for good'],
  ].map(([value, label]) => {
    const button = document.createElement('button')
    Object.assign(button, { type: 'button', value, textContent: label })
    return button
  })
  const line = document.createElement('li')
  Object.assign(line.dataset, { id, title })
  line.append(name, facts, ...buttons)
  return line
}

const day = iso => new Date(iso).toLocaleDateString(undefined, { dateStyle: 'medium' })
