// The media of the notes: a recording or a video that plays, or a PDF.
//
// A player has a `place()`, the position for the stamp of a new note, and `goTo`, which goes to the position of a stamp.

import { ApiError } from './api.js'
import { sayError } from './messages.js'

const container = document.querySelector('#player')

/** Shows a project's media; returns its player, or null if there is nothing to play. */
export function showPlayer({ title, mimetype, mediaDigest, src }) {
  container.replaceChildren()
  // If a project has no media, its `src` is any text that was saved, so it is not safe to load or to link to.
  if (!mediaDigest) return null
  if (/^(audio|video)\//.test(mimetype)) return timedPlayer(mimetype.split('/')[0], title, src)
  if (mimetype === 'application/pdf') return pdfReader(title, src)
  return null
}

/** The element sends range requests and the cookies on its own, as long as it has no `crossorigin` attribute. */
function timedPlayer(element, title, src) {
  const media = document.createElement(element)
  media.controls = true
  media.preload = 'metadata'
  media.ariaLabel = title
  media.src = src
  media.addEventListener('error', () => sayError(new ApiError(0, { message: `“${title}” cannot be played` })))
  container.append(media)
  return {
    place: () => ({ value: media.currentTime, label: clock(media.currentTime) }),
    goTo: seconds => {
      media.currentTime = seconds
      // The promise is rejected if the browser cannot play the media; the element's `error` has the reason.
      media.play().catch(() => {})
    },
  }
}

/** The browser's PDF reader. It does not tell its current page, so the user enters the page number in a field. */
function pdfReader(title, src) {
  const page = document.createElement('input')
  page.type = 'number'
  page.min = 1
  const label = document.createElement('label')
  label.append('Page ', page)
  let frame = document.createElement('iframe')
  container.append(label, frame)

  const goTo = number => {
    page.value = number
    // A new frame for each page: Chromium's PDF reader reads the page number only when it starts.
    const turned = document.createElement('iframe')
    turned.title = title
    turned.src = `${src}#navpanes=0&view=FitH&page=${number}`
    frame.replaceWith(turned)
    frame = turned
  }
  const current = () => page.valueAsNumber || 1
  page.addEventListener('change', () => goTo(current()))
  goTo(1)
  return { place: () => ({ value: current(), label: `p. ${current()}` }), goTo }
}

/** 3.63 → 0:03, 4000 → 1:06:40 */
function clock(seconds) {
  const whole = Math.floor(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const parts = hours ? [hours, String(minutes).padStart(2, '0')] : [minutes]
  return [...parts, String(whole % 60).padStart(2, '0')].join(':')
}
