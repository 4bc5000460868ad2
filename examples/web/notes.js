// Notes whose lines are stamped with a position in the media. A click on the stamp goes to this position.
//
// The server accepts any JSON as notes. This is the format of the notestamp editor, a Slate document: an array of
// paragraphs, where a stamped line is a paragraph around a `stamped-item` with the `value` and the `label` of its stamp.

const list = document.querySelector('#notes')
const form = document.querySelector('#new-note')
const { text: newText } = form.elements

let lines = []
let player = null
let changed = () => {}

/** `onChange` is called after each change that the user makes. */
export function setUpNotes({ onChange }) {
  changed = onChange
  form.addEventListener('submit', event => {
    event.preventDefault()
    const stamp = player?.place()
    lines.push({ stamp, node: paragraph(stamp, newText.value) })
    list.append(row(lines.at(-1)))
    form.reset()
    newText.focus()
    changed()
  })
}

export function showNotes(content, newPlayer) {
  player = newPlayer
  lines = read(content)
  list.replaceChildren(...lines.map(row))
  form.reset()
}

/** The current notes, as the content of a save. */
export const notesContent = () => JSON.stringify(lines.map(line => line.node))

/** The text of saved notes, without stamps and formats. */
export const notesText = content => read(content).map(({ node }) => textOf(node)).join('\n')

// Each line keeps the node that it was read from until it is edited. So the formats of the editor that this page does not
// support, such as bold and colours, survive a save from here.
function read(content) {
  const notes = JSON.parse(content)
  return (Array.isArray(notes) ? notes : [notes]).map(node => ({
    stamp: node?.children?.find?.(child => child?.type === 'stamped-item'),
    node,
  }))
}

function paragraph(stamp, text) {
  const children = [{ text }]
  if (!stamp) return { type: 'paragraph', children }
  const { label, value } = stamp
  return { type: 'paragraph', children: [{ type: 'stamped-item', label, value, children }] }
}

const textOf = node => node?.text ?? node?.children?.map?.(textOf).join('') ?? ''

function row(line) {
  const item = document.createElement('li')
  const text = document.createElement('textarea')
  text.rows = 1
  text.dir = 'auto'
  text.value = textOf(line.node)
  text.ariaLabel = line.stamp ? `Note at ${line.stamp.label}` : 'Note'
  text.addEventListener('input', () => {
    line.node = paragraph(line.stamp, text.value)
    changed()
  })

  const remove = document.createElement('button')
  remove.type = 'button'
  remove.className = 'remove'
  remove.textContent = '×'
  remove.ariaLabel = 'Remove this note'
  remove.addEventListener('click', () => {
    lines = lines.filter(other => other !== line)
    item.remove()
    changed()
  })

  item.append(stampButton(line.stamp), text, remove)
  return item
}

function stampButton(stamp) {
  // A line without a stamp has an empty column, so that all texts are aligned.
  if (!stamp) return document.createElement('span')
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'stamp'
  button.textContent = stamp.label
  button.ariaLabel = `Go to ${stamp.label}`
  button.addEventListener('click', () => player?.goTo(Number(stamp.value) || 0))
  return button
}
