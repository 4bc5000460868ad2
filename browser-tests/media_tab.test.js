// The URL of a project's media, opened in a tab: audio and video play, and scripts in media do not run.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startPageServer } from './support/page_server.js'
import { startServer } from './support/server.js'

const password = 'correct horse battery staple'
const folders = ['browser-tests/pages/home', 'browser-tests/pages/shared', 'examples/media']
const script = `document.documentElement.setAttribute('data-ran', 'yes'); fetch('/healthz?a-script-ran')`
const html = `<!doctype html><title>page</title><body onload="${script}"><script>${script}</script><p>shown</p></body>`
const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="${script}"><script>${script}</script><text y="20">shown</text></svg>`
const xhtml = `<html xmlns="http://www.w3.org/1999/xhtml"><body><script>${script}</script></body></html>`

describe('media in a tab', { timeout: 180_000 }, () => {
  let pages, server, browser, context, page, requested
  let users = 0

  before(async () => {
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
    context = await browser.newContext()
    requested = []
    context.on('request', request => requested.push(request.url()))
    page = await context.newPage()
    await page.goto(`${pages.origin}/?${new URLSearchParams({ api: server.url })}`)
    const email = `tab-${Date.now()}-${++users}@example.com`
    assert.equal((await client('register', email, password)).status, 201)
    assert.equal((await client('signIn', email, password)).status, 200)
  })

  afterEach(() => context.close())

  const client = (method, ...args) =>
    page.evaluate(([method, args]) => window.client[method](...args), [method, args])

  /** Saves these bytes as media of this type. Returns the URL. */
  async function save(bytes, mimetype) {
    const saved = await page.evaluate(async ([base64, mimetype]) => {
      const media = new Blob([Uint8Array.from(atob(base64), byte => byte.charCodeAt(0))])
      return window.client.save({ title: 'Media', type: '', mimetype }, [], media)
    }, [Buffer.from(bytes).toString('base64'), mimetype])
    assert.equal(saved.status, 200)
    return saved.body[0].src
  }

  for (const [file, mimetype] of [['examples/media/recording.mp3', 'audio/mpeg'], ['browser-tests/pages/shared/clip.webm', 'video/webm']]) {
    test(`${mimetype} plays`, async () => {
      const tab = await context.newPage()
      await tab.goto(await save(await readFile(file), mimetype))
      // Chromium's own page around the media: a `video` element, for sound too, which Space starts and stops.
      await tab.locator('video').waitFor()
      const seconds = () => tab.locator('video').evaluate(video => video.currentTime)
      if ((await seconds()) === 0) await tab.keyboard.press('Space')
      const end = Date.now() + 15_000
      while ((await seconds()) < 0.5) assert.ok(Date.now() < end, `it is at ${await seconds()} s`)
      await screenshot(tab, `media-${mimetype.replace('/', '-')}`)
    })
  }

  const active = [
    [html, 'text/html'],
    [svg, 'image/svg+xml'],
    [xhtml, 'application/xhtml+xml'],
    [xhtml, 'text/xml'],
    // The browser must use the media type that the owner has set.
    [html, 'audio/mpeg'],
    [html, 'application/pdf'],
    [html, ''],
  ]
  for (const [bytes, mimetype] of active) {
    test(`a script in media runs neither in a tab nor in a frame, saved as ${mimetype || 'nothing'}`, async () => {
      const src = await save(bytes, mimetype)
      const ran = () => requested.filter(url => url.includes('a-script-ran'))
      await load(src)
      assert.deepEqual(ran(), [])
    })
  }

  test('these scripts do run without the protection', async () => {
    const careless = http.createServer((request, response) => {
      const [bytes, mimetype] = active[Number(new URL(request.url, 'http://localhost').pathname.slice(1))] ?? ['', 'text/plain']
      response.writeHead(200, { 'content-type': mimetype }).end(bytes)
    })
    careless.listen(0, 'localhost')
    await once(careless, 'listening')
    for (const at of [0, 1, 2, 3]) {
      requested.length = 0
      await load(`http://localhost:${careless.address().port}/${at}`)
      assert.ok(requested.some(url => url.includes('a-script-ran')), active[at][1])
    }
    careless.closeAllConnections()
    careless.close()
  })

  /** Opens the URL in a tab and in a frame, and waits until it has loaded. Some media types become a download. */
  async function load(url) {
    const tab = await context.newPage()
    const options = { waitUntil: 'networkidle', timeout: 10_000 }
    // Or a player that waits for data that never arrives.
    await tab.goto(url, options).catch(error => assert.match(error.message, /Download is starting|Timeout/))
    const response = page.waitForResponse(url)
    await page.evaluate(url => {
      const frame = document.createElement('iframe')
      frame.src = url
      document.body.append(frame)
    }, url)
    await response
    await page.waitForLoadState('networkidle')
    await tab.close()
  }
})
