// Swagger UI at /docs, used like a developer who explores the API.

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

test('the docs load nothing from other hosts, and "Try it out" works with the cookies', { timeout: 120_000 }, async () => {
  const email = `docs-${Date.now()}@example.com`
  const password = 'correct horse battery staple'
  await page.goto(`${server.url}/docs`)
  await page.locator('.opblock').first().waitFor()

  assert.equal(await tryOut(page, 'get', '/home/list'), 401, 'not signed in yet')
  // Not a reload: the address contains the operation, so a reload would already show it open.
  await page.goto(`${server.url}/docs`)
  assert.equal(await tryOut(page, 'post', '/auth/register', { username: email, password }), 201)
  assert.equal(await tryOut(page, 'post', '/auth/signin', { username: email, password }), 200)
  assert.equal(await tryOut(page, 'get', '/home/list'), 200)
  assert.equal(await upload(page, { title: 'From the docs', type: 'audio', mimetype: 'audio/mpeg' }), 200)
  await screenshot(page, 'docs')

  assert.deepEqual(outsideHosts(requested, server.url), [])
})

test('the docs load nothing from other hosts on a host other than localhost', { timeout: 120_000 }, async () => {
  // Swagger UI omits the badge of an online validator only on localhost.
  const elsewhere = server.url.replace('localhost', 'notes.example.org')
  requested.length = 0
  await page.goto(`${elsewhere}/docs`)
  await page.locator('.opblock').first().waitFor()
  await page.waitForLoadState('networkidle')
  assert.deepEqual(outsideHosts(requested, elsewhere), [])
  const loaded = await page.locator('img, iframe, script[src], link[href]').evaluateAll(found => found.map(it => it.src || it.href))
  assert.deepEqual(outsideHosts(loaded, elsewhere), [])
})
