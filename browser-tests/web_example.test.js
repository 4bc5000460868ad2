// The page in examples/web, used like a user: through its labels and buttons.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { silence } from './pages/shared/silence.js'
import { launchBrowser, screenshot } from './support/browser.js'
import { startOddServer } from './support/odd_server.js'
import { startPageServer } from './support/page_server.js'
import { startServer } from './support/server.js'

const password = 'correct horse battery staple'
const recording = 'examples/media/recording.mp3'
const pdf = 'examples/media/document.pdf'
const wide = { width: 1200, height: 850 }
// The tests start and stop the server, and need their own settings, so they cannot use the one at SERVER_URL.
const needsItsOwnServer = process.env.SERVER_URL !== undefined
const phone = { width: 390, height: 780 }

describe('the example page', { timeout: 300_000 }, () => {
  let pages, server, browser, context, page, email, folder, wrong
  let users = 0

  before(async () => {
    // The server at SERVER_URL allows the default origin.
    pages = await startPageServer(process.env.SERVER_URL ? 3000 : 0, 'examples/web')
    server = await startServer(pages.origin)
    browser = await launchBrowser()
    folder = await mkdtemp(path.join(tmpdir(), 'notestamp-web-example-'))
  })

  after(async () => {
    await browser?.close()
    await server?.stop()
    await pages?.stop()
    if (folder) await rm(folder, { recursive: true, force: true })
  })

  beforeEach(async () => {
    email = `web-${Date.now()}-${++users}@example.com`
    wrong = []
    context = await browser.newContext({ viewport: wide })
    context.setDefaultTimeout(15_000)
    page = await newTab()
  })

  afterEach(async () => {
    await context.close()
    assert.deepEqual(wrong, [], 'no script has failed, and the policy of the page has blocked nothing')
  })

  async function newTab() {
    const tab = await context.newPage()
    tab.on('pageerror', error => wrong.push(error.message))
    tab.on('console', message => {
      // The console also shows requests that the server refuses; the tests expect these.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) wrong.push(message.text())
    })
    await open(tab, server.url)
    return tab
  }

  const open = (tab, api) => tab.goto(`${pages.origin}/?${new URLSearchParams({ api })}`)

  const button = (name, tab = page) => tab.getByRole('button', { name, exact: true })
  const says = (text, tab = page) => tab.getByRole('status').filter({ hasText: text }).waitFor()
  const isRefused = (text, tab = page) => tab.getByRole('alert').filter({ hasText: text }).waitFor()
  const heading = (title, tab = page) => tab.getByRole('heading', { name: title, exact: true, level: 2 })
  const projects = (tab = page) => tab.locator('#projects button')
  const audio = read => page.locator('audio').evaluate(read)

  async function fillInAccount() {
    await page.getByLabel('Email').fill(email)
    await page.getByLabel('Password').fill(password)
  }

  async function register() {
    await fillInAccount()
    await button('Register').click()
    await says('You are signed in.')
  }

  /** `file` is a path, or absent for a project without media. */
  async function saveProject(title, file) {
    await page.getByText('New project').click()
    await page.getByLabel('Title').fill(title)
    if (file) await page.getByLabel('Recording, video or PDF').setInputFiles(file)
    await button('Save project').click()
    await says(`Saved “${title}”.`)
  }

  async function addNote(text, tab = page) {
    await tab.getByLabel('New note').fill(text)
    await button('Add', tab).click()
  }

  const notes = (tab = page) => tab.locator('#notes textarea').evaluateAll(fields => fields.map(field => field.value))

  async function saveNotes(tab = page) {
    await button('Save notes', tab).click()
    await says('Saved.', tab)
  }

  /** Waits until the list shows exactly these titles. */
  async function lists(...expected) {
    const shown = expected => {
      const titles = [...document.querySelectorAll('#projects span')].map(title => title.textContent)
      return JSON.stringify(titles) === JSON.stringify(expected)
    }
    await page.waitForFunction(shown, expected).catch(() => {})
    assert.deepEqual(await page.locator('#projects span').allTextContents(), expected)
  }

  /** Makes the page's network slower than the loopback: bytes per second, and milliseconds before each response. */
  async function networkOf({ uploadThroughput = -1, latency = 0 }) {
    const session = await context.newCDPSession(page)
    const conditions = { offline: false, downloadThroughput: -1, uploadThroughput, latency }
    await session.send('Network.emulateNetworkConditions', conditions)
  }

  /** For both widths, and with dark colours. */
  async function screenshots(name) {
    await screenshot(page, `web-${name}-wide`)
    await page.setViewportSize(phone)
    await screenshot(page, `web-${name}-phone`)
    await page.emulateMedia({ colorScheme: 'dark' })
    await screenshot(page, `web-${name}-phone-dark`)
    await page.emulateMedia({ colorScheme: null })
    await page.setViewportSize(wide)
  }

  test('registers, shows an error for a wrong password, signs in, and is still signed in after a reload', async () => {
    await fillInAccount()
    await screenshots('account')
    await button('Register').click()
    await says('You are signed in.')
    await page.getByText(email).waitFor()
    await button('Sign out').click()
    await says('You are signed out.')

    await fillInAccount()
    await button('Register').click()
    await isRefused(/Request [0-9a-f]+/)
    await page.getByLabel('Password').fill('not the password')
    await button('Sign in').click()
    await isRefused(/password/)

    await page.getByLabel('Password').fill(password)
    await button('Sign in').click()
    await says('You are signed in.')
    await page.reload()
    await page.getByText(email).waitFor()
  })

  test('saves a recording with a progress bar that moves, and the same file again without sending it', async () => {
    await register()
    const size = 48 << 20
    const long = path.join(folder, 'long.wav')
    await writeFile(long, silence(size))
    await page.evaluate(() => {
      window.seen = []
      const progress = document.querySelector('progress')
      new MutationObserver(() => window.seen.push(progress.value)).observe(progress, { attributes: true })
    })

    await networkOf({ uploadThroughput: 16 << 20 })
    const saving = saveProject('A long lecture', long)
    await page.waitForFunction(() => document.querySelector('progress').value > 0.3)
    await screenshot(page, 'web-upload-wide')
    await saving
    const seen = await page.evaluate(() => window.seen)
    assert.equal(seen.at(-1), 1)
    assert.ok(new Set(seen).size > 10, `it has been at ${seen}`)
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b), 'it only ever advances')
    await networkOf({})
    await page.getByText('48.0 MiB').waitFor()
    await page.waitForFunction(size => document.querySelector('audio')?.duration === size / 8_000, size)

    await page.evaluate(() => { window.seen = [] })
    await saveProject('The same lecture', long)
    assert.deepEqual(await page.evaluate(() => window.seen.filter(part => part > 0)), [])
    assert.equal(await page.getByText('48.0 MiB').count(), 2)
  })

  test('plays the recording, stamps notes with the time, and seeks there by a click on the stamp', async () => {
    await register()
    await saveProject('Lecture', recording)
    await page.waitForFunction(() => document.querySelector('audio')?.duration > 13)
    await addNote('From the beginning')
    await audio(audio => { audio.currentTime = 9.4 })
    await addNote('Later')
    await saveNotes()

    await page.reload()
    await projects().click()
    await heading('Lecture').waitFor()
    assert.deepEqual(await notes(), ['From the beginning', 'Later'])
    await button('Go to 0:09').click()
    await page.waitForFunction(() => {
      const { paused, currentTime } = document.querySelector('audio')
      return !paused && currentTime > 9.6
    })
    await screenshots('recording')
    await button('Go to 0:00').click()
    await page.waitForFunction(() => document.querySelector('audio')?.currentTime < 9)
  })

  test('shows a PDF, and turns to the page of a stamp', async () => {
    await register()
    let reader = nextPdfReader()
    await saveProject('Paper', pdf)
    assert.equal(await (await reader).locator('#pagelength').textContent(), '2')
    await page.getByLabel('Page').fill('2')
    await addNote('The second page')
    await saveNotes()

    await page.reload()
    reader = nextPdfReader()
    await projects().click()
    assert.equal(await (await reader).locator('#pageSelector').inputValue(), '1')
    reader = nextPdfReader()
    await button('Go to p. 2').click()
    assert.equal(await (await reader).locator('#pageSelector').inputValue(), '2')
    await screenshots('pdf')
  })

  /** Waits until the next frame of Chromium's PDF reader shows the document with this title, and returns the frame. */
  async function nextPdfReader() {
    const isReader = frame => frame.url().startsWith('chrome-extension://')
    const reader = await page.waitForEvent('framenavigated', isReader)
    await reader.waitForFunction(() => document.title === 'How stamps work')
    return reader
  }

  test('lists page by page, without skipping or repeating a project while others are saved', async () => {
    await register()
    const all = numbered(25)
    await seed(...all)
    await page.reload()
    all.reverse()
    await lists(...all.slice(0, 10))
    await screenshots('list')

    await seed('Between two pages')
    await button('Show more').click()
    await lists(...all.slice(0, 20))
    await button('Show more').click()
    await lists(...all)
    assert.ok(await button('Show more').isHidden())
  })

  test('searches while the user types, and shows the results page by page', async () => {
    await register()
    const lectures = numbered(12)
    await seed('Ärzte', 'Bees & trees', '100 %', ...lectures)
    await page.reload()
    const search = page.getByLabel('Search')
    await search.fill('äRZ')
    await lists('Ärzte')
    await search.fill('%')
    await lists('100 %')
    await search.fill('s & t')
    await lists('Bees & trees')

    // So slow that no response arrives before the next key, even on a busy machine.
    await networkOf({ latency: 5_000 })
    const searchesFor = text => request => new URL(request.url()).searchParams.get('search') === text
    const asked = page.waitForRequest(searchesFor('le'))
    const dropped = page.waitForEvent('requestfailed', searchesFor('le'))
    await search.fill('le')
    await asked
    await search.fill('lecture')
    await dropped
    lectures.reverse()
    await lists(...lectures.slice(0, 10))
    await networkOf({})
    await button('Show more').click()
    await lists(...lectures)
    await search.fill('nothing has this title')
    await lists()
    await page.getByText('No projects here.').waitFor()
  })

  const numbered = count => Array.from({ length: count }, (_, i) => `Lecture ${i + 1}`)

  /** Saves projects without media, not through the page: titles, or titles with their notes. */
  const seed = (...projects) =>
    page.evaluate(async ([api, projects]) => {
      for (const [title, content = '[]'] of projects.map(project => [project].flat())) {
        const form = new FormData()
        form.append('content', content)
        form.append('metadata', JSON.stringify({ title }))
        const saved = await fetch(`${api}/home/upload`, { method: 'POST', credentials: 'include', body: form })
        if (!saved.ok) throw new Error(`${title}: ${saved.status}`)
      }
    }, [server.url, projects])

  describe('when two tabs save', () => {
    let other

    beforeEach(async () => {
      await register()
      await saveProject('Shared', recording)
      other = await newTab()
      await projects(other).click()
      await heading('Shared', other).waitFor()
      await addNote('from the other tab', other)
      await saveNotes(other)

      await page.bringToFront()
      await addNote('from this tab')
      await button('Save notes').click()
      await heading('Saved elsewhere meanwhile').waitFor()
      await page.getByRole('dialog').getByText('from the other tab').waitFor()
    })

    /** The saved notes, as a third tab sees them. */
    async function saved() {
      const tab = await newTab()
      await projects(tab).click()
      await heading('Shared', tab).waitFor()
      const found = await notes(tab)
      await tab.close()
      return found
    }

    test('no unseen notes are overwritten, and Escape changes nothing', async () => {
      await screenshots('conflict')
      await page.keyboard.press('Escape')
      await says('Your notes are not saved.')
      assert.deepEqual(await notes(), ['from this tab'])
      assert.deepEqual(await saved(), ['from the other tab'])
    })

    test('the user can take the saved notes, and continue with them', async () => {
      await button('Take these, drop mine').click()
      await says('These are the notes that were saved elsewhere.')
      assert.deepEqual(await notes(), ['from the other tab'])
      await addNote('and more')
      await saveNotes()
      assert.deepEqual(await saved(), ['from the other tab', 'and more'])
    })

    test('the user can overwrite the saved notes, and then the other tab asks', async () => {
      await button('Overwrite them with mine').click()
      await says('Saved.')
      assert.deepEqual(await saved(), ['from this tab'])
      await other.bringToFront()
      await addNote('too late', other)
      await button('Save notes', other).click()
      await heading('Saved elsewhere meanwhile', other).waitFor()
    })

    test('the page asks again if the shown notes have changed meanwhile', async () => {
      await other.bringToFront()
      await addNote('a second time', other)
      await saveNotes(other)
      await page.bringToFront()
      await button('Overwrite them with mine').click()
      await page.getByRole('dialog').getByText('a second time').waitFor()
      assert.deepEqual(await saved(), ['from the other tab', 'a second time'])
    })
  })

  test('notes can be saved again after another tab has deleted the project', async () => {
    await register()
    await saveProject('Shared', recording)
    const other = await newTab()
    await projects(other).click()
    await deleteProject(other)

    await page.bringToFront()
    await addNote('not to be lost')
    await button('Save notes').click()
    await heading('Deleted elsewhere meanwhile').waitFor()
    await button('Save my notes again').click()
    await says('Saved.')
    await page.reload()
    await projects().click()
    await heading('Shared').waitFor()
    assert.deepEqual(await notes(), ['not to be lost'])
  })

  async function deleteProject(tab = page) {
    await button('Delete project', tab).click()
    await button('Delete', tab).click()
    await says('Deleted', tab)
  }

  test('deletes a project after the user confirms', async () => {
    await register()
    await seed('Kept')
    await saveProject('Wrong', recording)
    await button('Delete project').click()
    await screenshot(page, 'web-delete-wide')
    await button('Keep it').click()
    await lists('Wrong', 'Kept')
    await deleteProject()
    await lists('Kept')
    assert.ok(await heading('Wrong').isHidden())
  })

  test('an earlier version is looked at and restored, and that can be undone', async () => {
    await register()
    await saveProject('Lecture', recording)
    await addNote('first')
    await saveNotes()
    await addNote('second')
    await saveNotes()
    await page.getByText('Earlier versions').click()
    const versions = page.locator('#versions button')
    await versions.first().click()
    await page.getByRole('dialog').getByText('first', { exact: true }).waitFor()
    await screenshot(page, 'web-version-wide')
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
    assert.deepEqual(await notes(), ['first', 'second'])
    await versions.first().click()
    await button('Restore it').click()
    await says('Restored.')
    assert.deepEqual(await notes(), ['first'])

    await page.getByText('Earlier versions').click()
    await versions.first().click()
    await page.getByRole('dialog').getByText('second').waitFor()
    await button('Restore it').click()
    await says('Restored.')
    assert.deepEqual(await notes(), ['first', 'second'])
  })

  test('a deleted project is restored from the trash, under another title if need be', async () => {
    await register()
    await saveProject('Lecture', recording)
    await addNote('not lost')
    await saveNotes()
    await deleteProject()
    await lists()
    await saveProject('Lecture')
    await page.getByText('Trash', { exact: true }).click()
    await button('Restore').click()
    await heading('This title is taken').waitFor()
    await button('Restore as “Lecture (restored)”').click()
    await says('Restored “Lecture (restored)”.')
    await lists('Lecture (restored)', 'Lecture')
    await projects().first().click()
    await heading('Lecture (restored)').waitFor()
    assert.deepEqual(await notes(), ['not lost'])

    await deleteProject()
    await lists('Lecture')
    await page.locator('#trashed').getByText('Lecture (restored)').waitFor()
    await screenshot(page, 'web-trash-wide')
    await button('Empty the trash').click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete for good' }).click()
    await says('The trash is empty.')
    await page.locator('#trashed').getByText('The trash is empty.').waitFor()
  })

  test('accepts any title, and shows it as text', async () => {
    await register()
    const strange = [
      '..',
      'a/b\\c',
      '%2F',
      'null',
      '?name=x&y#z',
      '"quotes" and \'more\'',
      '<script>alert(1)</script>',
      '<img src=x onerror=alert(1)>',
      '🎧 👩‍🔬 né',
      ' spaces  around ',
    ]
    for (const title of strange) {
      await saveProject(title, recording)
      await page.waitForFunction(() => document.querySelector('audio')?.duration > 13)
      assert.equal(await page.locator('#project-title').textContent(), title)
      await addNote(title)
      await saveNotes()
    }
    strange.reverse()
    await lists(...strange)
    await screenshots('titles')
    for (const title of strange) {
      await projects().first().click()
      await page.waitForFunction(title => document.querySelector('#project-title').textContent === title, title)
      assert.deepEqual(await notes(), [title])
      await deleteProject()
    }
    await lists()
  })

  test('refuses to save a new project over a project with the same title', async () => {
    await register()
    await saveProject('Taken', recording)
    await addNote('precious')
    await saveNotes()
    await page.getByText('New project').click()
    await page.getByLabel('Title').fill('Taken')
    await button('Save project').click()
    await isRefused('There is a project “Taken” already.')
    await screenshots('refused')
    await page.reload()
    await projects().click()
    await heading('Taken').waitFor()
    assert.deepEqual(await notes(), ['precious'])
  })

  test('keeps formats of the editor that it cannot show', async () => {
    await register()
    const content = await readFile('examples/media/notes.json', 'utf8')
    await seed(['From the editor', content])
    await page.reload()
    await projects().click()
    await page.getByLabel('Note at 0:05').fill('Changed here.')
    await saveNotes()
    const saved = await page.evaluate(async api => {
      const opened = await fetch(`${api}/home/open?name=From+the+editor`, { credentials: 'include' })
      return (await opened.json()).content
    }, server.url)
    const expected = JSON.parse(content)
    expected[3].children[0].children = [{ text: 'Changed here.' }]
    assert.deepEqual(JSON.parse(saved), expected)
  })

  test('asks before it leaves unsaved notes', async () => {
    await register()
    await seed('Another')
    await saveProject('Edited')
    await addNote('unsaved')
    for (const leave of [projects().nth(1), button('Close'), button('Sign out')]) {
      await leave.click()
      await heading('Leave without saving?').waitFor()
      await button('Stay here').click()
      assert.deepEqual(await notes(), ['unsaved'])
    }
    await projects().nth(1).click()
    await button('Leave').click()
    await heading('Another').waitFor()
  })

  test('signs out, and the old session is refused', async () => {
    await register()
    await saveProject('Private', recording)
    const src = await audio(audio => audio.src)
    await button('Sign out').click()
    await says('You are signed out.')
    await page.getByLabel('Email').waitFor()
    assert.equal(await page.getByText('Private').count(), 0, 'nothing is left of it on the page')
    const read = src => fetch(src, { credentials: 'include' }).then(response => response.status)
    assert.equal(await page.evaluate(read, src), 401)
    await page.reload()
    await page.getByLabel('Email').waitFor()
  })

  test('asks to sign in again when the session has ended elsewhere, and keeps the unsaved notes', async () => {
    await register()
    await saveProject('Going on')
    await addNote('not to be lost')
    const other = await newTab()
    await button('Sign out', other).click()
    await says('You are signed out.', other)

    await page.bringToFront()
    await button('Save notes').click()
    await says('Your session has ended. Please sign in again.')
    await fillInAccount()
    await button('Sign in').click()
    await heading('Going on').waitFor()
    assert.deepEqual(await notes(), ['not to be lost'])
    await saveNotes()
  })

  test('says when to try again after too many failed sign-ins', async () => {
    await fillInAccount()
    await button('Register').click()
    await says('You are signed in.')
    await button('Sign out').click()
    await page.getByLabel('Email').fill(email)
    const refusals = page.getByRole('alert')
    for (let failures = 0; !/Try again in \d+ seconds/.test(await refusals.textContent()); failures++) {
      assert.ok(failures < 20, await refusals.textContent())
      await page.getByLabel('Password').fill('not the password')
      const responded = page.waitForResponse(response => response.url().endsWith('/auth/signin'))
      await button('Sign in').click()
      await responded
      await isRefused(/./)
    }
  })

  test('shows an error when there is no response', async () => {
    await open(page, 'http://localhost:1')
    await isRefused('No response from http://localhost:1')
  })

  for (const [what, response, said] of [
    ['a response breaks off', { status: 200, body: '{"email": ', breaksOff: true }, 'No response from'],
    ['an error breaks off', { status: 503, body: '{"code": ', breaksOff: true }, 'No response from'],
    ['a proxy responds with a page', { status: 200, body: '<h1>Welcome</h1>' }, 'did not respond with JSON'],
    ['a proxy refuses with a page', { status: 502, body: '<h1>Bad gateway</h1>' }, 'The response had the status 502.'],
    ['an error has another shape', { status: 500, body: 'null' }, 'The response had the status 500.'],
  ]) {
    test(`shows an error when ${what}`, async () => {
      const odd = await startOddServer(pages.origin, response)
      try {
        await open(page, odd.url)
        await isRefused(said)
      } finally {
        await odd.stop()
      }
    })
  }

  test('shows an error for every action when the server has stopped', { skip: needsItsOwnServer }, async () => {
    const leaving = await startServer(pages.origin)
    try {
      await open(page, leaving.url)
      await register()
      await saveProject('Another')
      await saveProject('Open')
    } finally {
      await leaving.stop()
    }
    const save = async () => {
      await addNote('not to be lost')
      await button('Save notes').click()
    }
    const saveNew = async () => {
      await page.getByText('New project').click()
      await page.getByLabel('Title').fill('New')
      await page.getByLabel('Recording, video or PDF').setInputFiles(recording)
      await button('Save project').click()
    }
    const remove = async () => {
      await button('Delete project').click()
      await button('Delete').click()
    }
    const signOut = async () => {
      await button('Sign out').click()
      await button('Leave').click()
    }
    const search = () => page.getByLabel('Search').fill('o')
    const openAnother = () => projects().last().click()
    for (const action of [search, openAnother, save, saveNew, remove, signOut]) {
      await page.evaluate(() => { document.querySelector('#alert').textContent = '' })
      await action()
      await isRefused(`No response from ${leaving.url}`)
    }
    await heading('Open').waitFor()
    assert.deepEqual(await notes(), ['not to be lost'])
  })

  test('shows an error when the chosen file cannot be read', async () => {
    await register()
    const gone = path.join(folder, 'gone.mp3')
    await writeFile(gone, await readFile(recording))
    await page.getByText('New project').click()
    await page.getByLabel('Title').fill('Gone')
    await page.getByLabel('Recording, video or PDF').setInputFiles(gone)
    await rm(gone)
    await button('Save project').click()
    await isRefused('The file cannot be read: please choose it again.')
    await lists()
  })

  test('shows an error when a recording cannot be played', async () => {
    await register()
    const garbled = path.join(folder, 'garbled.mp3')
    await writeFile(garbled, 'no sound is in here')
    await page.getByText('New project').click()
    await page.getByLabel('Title').fill('Garbled')
    await page.getByLabel('Recording, video or PDF').setInputFiles(garbled)
    await button('Save project').click()
    await isRefused('“Garbled” cannot be played.')
  })

  test('shows either the list or the project on a narrow screen', async () => {
    await page.setViewportSize(phone)
    await register()
    await saveProject('On the phone', recording)
    assert.ok(await page.getByLabel('Search').isHidden())
    await button('Close').click()
    await projects().click()
    await heading('On the phone').waitFor()
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    assert.equal(await overflow(), 0)
  })
})
