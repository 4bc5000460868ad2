// Swagger UI at /docs, used as somebody who explores the API would use it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startServer } from './support/server.js'
import { outsideHosts, tryOut, upload } from './support/swagger_ui.js'

let server, browser, page
const requested = []

before(async () => {
  server = await startServer('http://localhost:3000')
  browser = await launchBrowser('notes.example.org')
  page = await browser.newPage({ viewport: { width: 1280, height: 1600 } })
  page.on('request', request => requested.push(request.url()))
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

test('the docs need no other host, and "Try it out" works there with the cookies', { timeout: 120_000 }, async () => {
  const email = `docs-${Date.now()}@example.com`
  const password = 'correct horse battery staple'
  await page.goto(`${server.url}/docs`)
  await page.locator('.opblock').first().waitFor()

  assert.equal(await tryOut(page, 'get', '/home/list'), 401, 'nobody is signed in yet')
  // Not a reload: the address remembers the operation, which would be open already.
  await page.goto(`${server.url}/docs`)
  assert.equal(await tryOut(page, 'post', '/auth/register', { username: email, password }), 201)
  assert.equal(await tryOut(page, 'post', '/auth/signin', { username: email, password }), 200)
  assert.equal(await tryOut(page, 'get', '/home/list'), 200)
  assert.equal(await upload(page, { title: 'From the docs', type: 'audio', mimetype: 'audio/mpeg' }), 200)
  await screenshot(page, 'docs')

  assert.deepEqual(outsideHosts(requested, server.url), [])
})

test('the docs need no other host where they are not on localhost, either', { timeout: 120_000 }, async () => {
  // Swagger UI leaves out the badge of an outside validator on localhost only.
  const elsewhere = server.url.replace('localhost', 'notes.example.org')
  requested.length = 0
  await page.goto(`${elsewhere}/docs`)
  await page.locator('.opblock').first().waitFor()
  await page.waitForLoadState('networkidle')
  assert.deepEqual(outsideHosts(requested, elsewhere), [])
  const loaded = await page.locator('img, iframe, script[src], link[href]').evaluateAll(found => found.map(it => it.src || it.href))
  assert.deepEqual(outsideHosts(loaded, elsewhere), [])
})
