// A question to the user, in a modal dialog.

const dialog = document.querySelector('#question')
const heading = document.querySelector('#question-heading')
const text = document.querySelector('#question-text')
const quote = document.querySelector('#question-quote')
const buttons = document.querySelector('#question-choices')

/** `choices` maps each choice to its label. Returns the user's choice, or "" for Escape. */
export function ask({ question, explanation, quoted = '', choices }) {
  heading.textContent = question
  text.textContent = explanation
  quote.textContent = quoted
  quote.hidden = !quoted
  buttons.replaceChildren(
    ...Object.entries(choices).map(([answer, label]) => {
      const button = document.createElement('button')
      button.value = answer
      button.textContent = label
      return button
    }),
  )
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true })
  })
}
