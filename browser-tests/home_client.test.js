// The notestamp client of 2023-24, in a real browser, on an origin of its own.

import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startPageServer } from './support/page_server.js'
import { startServer } from './support/server.js'

const password = 'correct horse battery staple'
const folders = ['browser-tests/pages/home', 'browser-tests/pages/shared', 'examples/media']
// The tests need a server with their own settings, not the one at SERVER_URL.
const needsItsOwnServer = process.env.SERVER_URL !== undefined
const title = 'Ünïcode / lecture #1 – 100 %'
const metadata = { title, type: 'audio', label: 'Audio Player', src: '', mimetype: 'audio/mpeg', lastModified: '' }

describe('the client of 2023-24', { timeout: 180_000 }, () => {
  let pages, server, browser, context, page, email, responses
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
    email = `browser-${Date.now()}-${++users}@example.com`
    context = await browser.newContext()
    page = await context.newPage()
    responses = []
    page.on('response', response => responses.push(response))
    await page.goto(`${pages.origin}/?${new URLSearchParams({ api: server.url })}`)
  })

  afterEach(() => context.close())

  const client = (method, ...args) =>
    page.evaluate(([method, args]) => window.client[method](...args), [method, args])

  async function signUp() {
    assert.equal((await client('register', email, password)).status, 201)
    const signedIn = await client('signIn', email, password)
    assert.equal(signedIn.status, 200)
    return signedIn.body
  }

  const saveRecording = () =>
    page.evaluate(async metadata => {
      const media = await (await fetch('recording.mp3')).blob()
      const notes = await (await fetch('notes.json')).json()
      return window.client.save(metadata, notes, media)
    }, metadata)

  test('registers without credentials, and signs in with cookies that scripts cannot see', async () => {
    assert.deepEqual((await client('register', email, password)).body, { email })
    assert.deepEqual(await context.cookies(), [], 'a registration sets no cookie')
    assert.equal((await client('list')).status, 401)

    assert.deepEqual((await client('signIn', email, password)).body, { email, directory: [] })
    const cookies = await context.cookies(server.url)
    assert.deepEqual(cookies.map(c => c.name).sort(), ['__Host-accessToken', '__Host-deviceToken', '__Host-refreshToken'])
    for (const cookie of cookies) {
      assert.ok(cookie.httpOnly && cookie.secure, `${cookie.name} is HttpOnly and Secure`)
      assert.equal(cookie.sameSite, 'Lax')
    }
    assert.deepEqual((await client('list')).body, [])
  })

  test('gets an error for a wrong password and for a taken address', async () => {
    await signUp()
    assert.equal((await client('register', email, password)).status, 409)
    assert.equal((await client('signIn', email, 'not the password')).status, 401)
  })

  test('saves a project with a recording, lists it and opens it', async () => {
    await signUp()
    const saved = await saveRecording()
    assert.equal(saved.status, 200)
    assert.deepEqual(saved.body.map(p => p.title), [title])

    assert.deepEqual((await client('list')).body, saved.body)
    const opened = await client('open', title)
    assert.equal(opened.status, 200)
    assert.match(opened.etag, /^"\d+"$/, 'the entity tag is exposed to the other origin')
    assert.equal(opened.body.metadata.mimetype, 'audio/mpeg')
    assert.equal(typeof opened.body.content, 'string')
    const notes = await page.evaluate(async () => (await fetch('notes.json')).json())
    assert.deepEqual(JSON.parse(opened.body.content), notes)
    assert.deepEqual(await client('mediaBytes', title), { status: 200, bytes: 55_352 })
  })

  test('saves again without sending the recording, and the recording is kept', async () => {
    await signUp()
    await saveRecording()
    const again = await client('save', metadata, [{ type: 'paragraph', children: [{ text: 'changed' }] }], null)
    assert.equal(again.status, 200)
    assert.match((await client('open', title)).body.content, /changed/)
    assert.equal((await client('mediaBytes', title)).bytes, 55_352)
  })

  test('plays the recording from its src, and seeks in it', async () => {
    await signUp()
    await saveRecording()
    const { src } = (await client('open', title)).body.metadata
    assert.ok(src.startsWith(`${server.url}/`), `${src} is on the host that the browser used`)

    const seconds = await page.evaluate(src => window.player.load(src), src)
    assert.ok(Math.abs(seconds - 13.8) < 0.5, `it knows its duration, and says ${seconds} s`)

    await page.click('button')
    await page.waitForFunction(() => document.querySelector('audio').currentTime > 0.2)
    assert.ok(Math.abs((await page.evaluate(() => window.player.seek(9.4))) - 9.4) < 0.2)
    await page.waitForFunction(() => document.querySelector('audio').currentTime > 9.6)
    await screenshot(page, 'client-playing')
    assert.deepEqual([...new Set(responses.filter(r => r.url() === src).map(r => r.status()))], [206])
  })

  test('seeks far ahead in a long recording with a range request', async () => {
    await signUp()
    const long = { ...metadata, mimetype: 'audio/wav' }
    const saved = await page.evaluate(long => window.client.save(long, [], window.silence(30 << 20)), long)
    assert.equal(saved.status, 200)
    const { src } = saved.body[0]

    const seconds = await page.evaluate(src => window.player.load(src), src)
    const late = seconds * 0.9
    assert.ok(Math.abs((await page.evaluate(late => window.player.seek(late), late)) - late) < 1)
    const ranges = []
    for (const response of responses.filter(r => r.url() === src)) {
      ranges.push([response.status(), (await response.request().allHeaders()).range])
    }
    assert.ok(
      ranges.some(([status, range]) => status === 206 && Number(range?.match(/^bytes=(\d+)-/)?.[1]) > 20 << 20),
      `a 206 from beyond 20 MiB is among ${JSON.stringify(ranges)}`,
    )
  })

  test('continues to play and seeks after the access token has expired', { skip: needsItsOwnServer }, async () => {
    const hasty = await startServer(pages.origin, '--access-ttl', '2s')
    try {
      await page.goto(`${pages.origin}/?${new URLSearchParams({ api: hasty.url })}`)
      await signUp()
      const long = { ...metadata, mimetype: 'audio/wav' }
      const saved = await page.evaluate(long => window.client.save(long, [], window.silence(30 << 20)), long)
      const { src } = saved.body[0]
      const seconds = await page.evaluate(src => window.player.load(src), src)
      const refreshToken = async () => (await context.cookies(hasty.url)).find(c => c.name === '__Host-refreshToken').value

      await page.click('button')
      const before = await refreshToken()
      // The player uses its buffer until the token has expired; then it seeks to a position that needs a new request.
      await page.waitForFunction(() => document.querySelector('audio').currentTime > 3)
      const asked = responses.length
      const late = seconds * 0.9
      assert.ok(Math.abs((await page.evaluate(late => window.player.seek(late), late)) - late) < 1)
      await page.waitForFunction(late => document.querySelector('audio').currentTime > late + 0.5, late)
      const later = responses.slice(asked).filter(r => r.url() === src)
      assert.deepEqual([...new Set(later.map(r => r.status()))], [206])
      assert.notEqual(await refreshToken(), before, 'the response to the audio element has renewed the session')
    } finally {
      await hasty.stop()
    }
  })

  test('deletes a project', async () => {
    await signUp()
    await saveRecording()
    const deleted = await client('delete', title)
    assert.deepEqual([deleted.status, deleted.body], [200, []])
    assert.equal((await client('open', title)).status, 404, 'and can read the refusal across origins')
  })

  test('cannot use its session after signing out', async () => {
    await signUp()
    const cookies = await context.cookies()
    assert.equal((await client('signOut')).status, 200)
    const kept = (await context.cookies()).map(cookie => cookie.name)
    assert.deepEqual(kept, ['__Host-deviceToken'], 'the browser has dropped the cookies of the session')
    await context.addCookies(cookies)
    assert.equal((await client('list')).status, 401, 'and the old ones are refused')
  })

  test('is refused from an origin that is not allowed', async () => {
    await signUp()
    const elsewhere = await startPageServer(0, ...folders)
    try {
      await page.goto(`${elsewhere.origin}/?${new URLSearchParams({ api: server.url })}`)
      await assert.rejects(client('list'), /Failed to fetch/, 'the browser hides the response from the page')
      await assert.rejects(client('save', metadata, [], null), /Failed to fetch/)
    } finally {
      await elsewhere.stop()
    }
    await page.goto(`${pages.origin}/?${new URLSearchParams({ api: server.url })}`)
    assert.deepEqual((await client('list')).body, [], 'and nothing has been saved')
  })
})
