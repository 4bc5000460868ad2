// The list of projects: it is searched while the user types, and read page by page.

import { firstPage, list } from './api.js'
import { attempt } from './messages.js'

const pageSize = 10

const search = document.querySelector('#search')
const items = document.querySelector('#projects')
const none = document.querySelector('#no-projects')
const more = document.querySelector('#more')

let opened = null
let next
let running = new AbortController()

/** `onOpen` gets the title of the project that was clicked. */
export function setUpLibrary({ onOpen }) {
  search.addEventListener('input', () => attempt(showList))
  more.addEventListener('click', () => attempt(showMore, more))
  items.addEventListener('click', event => {
    const button = event.target.closest('button')
    if (button) attempt(() => onOpen(button.dataset.title), items)
  })
}

/** Reads the first page. It aborts an earlier search, whose response could arrive later. */
export async function showList() {
  running.abort()
  running = new AbortController()
  await read(firstPage(search.value, pageSize), [], running.signal)
}

/** The server names the next page. No project is repeated or skipped, even if others are saved meanwhile. */
const showMore = () => read(next, [...items.children], running.signal)

async function read(page, before, signal) {
  const listed = await list(page, signal)
  next = listed.next
  items.replaceChildren(...before, ...listed.projects.map(item))
  none.hidden = items.children.length > 0
  more.hidden = !next
  markOpened()
}

export function forgetList() {
  running.abort()
  search.value = ''
  items.replaceChildren()
}

export function setOpened(title) {
  opened = title
  markOpened()
}

function markOpened() {
  for (const button of items.querySelectorAll('button')) {
    if (button.dataset.title === opened) button.setAttribute('aria-current', 'true')
    else button.removeAttribute('aria-current')
  }
}

function item({ title, mimetype, mediaSize, lastModified }) {
  const button = document.createElement('button')
  button.type = 'button'
  button.dataset.title = title
  // As text, because a title may contain anything, even `<script>`.
  const name = document.createElement('span')
  name.dir = 'auto'
  name.textContent = title
  const facts = document.createElement('small')
  facts.textContent = [kind(mimetype), size(mediaSize), day(lastModified)].filter(Boolean).join(' · ')
  button.append(name, facts)
  const line = document.createElement('li')
  line.append(button)
  return line
}

const kind = mimetype => (mimetype === 'application/pdf' ? 'PDF' : mimetype.split('/')[0] || 'notes')

function size(bytes) {
  if (bytes === undefined) return ''
  return bytes < 1 << 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`
}

const day = iso => new Date(iso).toLocaleDateString(undefined, { dateStyle: 'medium' })
