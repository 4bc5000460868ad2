// Saves a new project: a title and a file, with a progress bar.

import { attempt, say } from './messages.js'
import { save } from './upload.js'

const details = document.querySelector('#new-project')
const form = document.querySelector('#new-project-form')
const { title, file } = form.elements
const upload = document.querySelector('#upload')
const progress = document.querySelector('#upload-progress')
const percent = document.querySelector('#upload-percent')

/** `onSaved` gets the title. */
export function setUpNewProject({ onSaved }) {
  form.addEventListener('submit', event => {
    event.preventDefault()
    attempt(async () => {
      const name = title.value
      await saveNew(name, file.files[0])
      form.reset()
      details.open = false
      await onSaved(name)
      say(`Saved “${name}”.`)
    }, form)
  })
}

export function forgetNewProject() {
  form.reset()
  details.open = false
}

async function saveNew(name, media) {
  const mimetype = media?.type ?? ''
  const type = mimetype === 'application/pdf' ? 'pdf' : mimetype.split('/')[0]
  showProgress(0)
  upload.hidden = !media
  try {
    await save({
      metadata: { title: name, type, mimetype },
      content: '[]',
      file: media,
      revision: null,
      onProgress: showProgress,
    })
  } catch (error) {
    // The notes of an existing project with the same title must not be lost.
    if (error.status === 412) error.message = `there is a project “${name}” already`
    throw error
  } finally {
    upload.hidden = true
  }
}

function showProgress(part) {
  progress.value = part
  percent.textContent = `${Math.floor(part * 100)} %`
}
