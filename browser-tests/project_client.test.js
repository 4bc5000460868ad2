// The notestamp client since October 2024, in a real browser, on an origin of its own.

import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startPageServer } from './support/page_server.js'
import { startServer } from './support/server.js'

const password = 'correct horse battery staple'
const folders = ['browser-tests/pages/project', 'browser-tests/pages/shared', 'examples/media']
const title = 'Ünïcode / lecture #1 – 100 %'
const metadata = { title, type: 'audio', label: 'Audio Player', src: '', mimetype: 'audio/mpeg', lastModified: '' }

describe('the client since October 2024', { timeout: 180_000 }, () => {
  let pages, server, browser, context, page, email, requests
  let users = 0

  before(async () => {
    // The server at SERVER_URL allows the default origin.
    pages = await startPageServer(process.env.SERVER_URL ? 3000 : 0, ...folders)
    server = await startServer(pages.origin)
    browser = await launchBrowser()
  })

  after(async () => {
    await browser?.close()
    await server?.stop()
    await pages?.stop()
  })

  beforeEach(async () => {
    email = `project-${Date.now()}-${++users}@example.com`
    context = await browser.newContext()
    page = await context.newPage()
    requests = []
    page.on('request', request => requests.push(request))
    await page.goto(`${pages.origin}/?${new URLSearchParams({ api: server.url })}`)
    assert.equal((await client('register', email, password)).status, 201)
    assert.equal((await client('logIn', email, password)).status, 200)
  })

  afterEach(() => context.close())

  const client = (method, ...args) =>
    page.evaluate(([method, args]) => window.client[method](...args), [method, args])

  const saveRecording = () =>
    page.evaluate(async metadata => {
      const media = await (await fetch('recording.mp3')).blob()
      const notes = await (await fetch('notes.json')).json()
      return window.client.save(metadata, notes, media)
    }, metadata)

  test('shows the signed-in user, and cannot use its session after logging out', async () => {
    assert.equal((await client('user')).body.email, email)
    const cookies = await context.cookies()
    assert.equal((await client('logOut')).status, 200)
    assert.deepEqual((await context.cookies()).map(cookie => cookie.name), ['__Host-deviceToken'])
    await context.addCookies(cookies)
    assert.equal((await client('user')).status, 401)
  })

  test('saves a recording, lists it and gets it', async () => {
    const saved = await saveRecording()
    assert.equal(saved.status, 200)
    assert.equal(saved.body.metadata.title, title)

    const listed = (await client('list', 0, '')).body
    assert.deepEqual(listed.projects.map(p => p.title), [title])
    assert.equal(listed.nextOffset, null)
    const got = await client('get', title)
    assert.equal(got.body.mimetype, 'audio/mpeg', 'not what the part said')
    const notes = await page.evaluate(async () => (await fetch('notes.json')).json())
    assert.deepEqual(JSON.parse(got.body.notes), notes)
  })

  test('sends the project back without the recording, and the recording is kept', async () => {
    await saveRecording()
    const { notes: _, ...got } = (await client('get', title)).body
    assert.equal((await client('save', got, [{ children: [{ text: 'changed' }] }], null)).status, 200)
    const again = (await client('get', title)).body
    assert.match(again.notes, /changed/)
    assert.equal((await client('mediaBytes', again.src)).bytes, 55_352)
  })

  test('lists in pages of twenty, by search and by type', async () => {
    for (let i = 1; i <= 22; i++) {
      const lastModified = new Date(Date.UTC(2025, 0, i)).toISOString()
      const type = i % 2 ? 'audio' : 'pdf'
      const saved = await client('save', { ...metadata, title: `Lecture ${i}`, type, lastModified }, [], null)
      assert.equal(saved.status, 200)
    }
    const titles = response => response.body.projects.map(p => p.title)
    const first = await client('list', 0, '')
    const second = await client('list', first.body.nextOffset, '')
    assert.deepEqual([...titles(first), ...titles(second)], Array.from({ length: 22 }, (_, i) => `Lecture ${22 - i}`))
    assert.deepEqual([first.body.nextOffset, second.body.nextOffset], [20, null])
    assert.deepEqual(titles(await client('list', 0, 'ture 2', 'pdf', true)), ['Lecture 2', 'Lecture 20', 'Lecture 22'])
  })

  test('plays the recording and seeks in it without cookies, by the signed URL', async () => {
    await saveRecording()
    const { src } = (await client('get', title)).body
    assert.ok(src.startsWith(`${server.url}/`), `${src} is on the host that the browser used`)
    assert.deepEqual(await client('mediaBytes', src), { status: 200, bytes: 55_352 })

    const seconds = await page.evaluate(src => window.player.load(src), src)
    assert.ok(Math.abs(seconds - 13.8) < 0.5, `it knows its duration, and says ${seconds} s`)
    await page.click('button')
    assert.ok(Math.abs((await page.evaluate(() => window.player.seek(9.4))) - 9.4) < 0.2)
    await page.waitForFunction(() => document.querySelector('audio').currentTime > 9.6)
    await screenshot(page, 'project-client-playing')
    for (const request of requests.filter(request => request.url() === src)) {
      assert.equal((await request.allHeaders()).cookie, undefined)
    }

    await client('logOut')
    assert.equal((await client('mediaBytes', src)).status, 401, 'it is worth nothing after that')
  })

  test('deletes a project', async () => {
    await saveRecording()
    const { src } = (await client('get', title)).body
    const deleted = await client('delete', title)
    assert.deepEqual([deleted.status, deleted.body], [200, { directory: [] }])
    assert.equal((await client('get', title)).status, 404)
    assert.equal((await client('mediaBytes', src)).status, 404)
  })
})
