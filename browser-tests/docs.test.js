// Swagger UI at /docs, used as somebody who explores the API would use it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startServer } from './support/server.js'

let server, browser, page
const requested = []

before(async () => {
  server = await startServer('http://localhost:3000')
  browser = await launchBrowser()
  page = await browser.newPage({ viewport: { width: 1280, height: 1600 } })
  page.on('request', request => requested.push(request.url()))
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

/** Presses "Try it out" and "Execute" of one operation; answers the status that the UI shows. */
async function tryOut(method, path, body) {
  const operation = page.locator(`.opblock-${method}`, { has: page.locator(`[data-path="${path}"]`) })
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.try-out__btn').click()
  if (body) {
    const types = operation.locator('.body-param-content-type select, .opblock-section-request-body select.content-type')
    const json = await types.locator('option', { hasText: 'application/json' }).first().textContent()
    await types.first().selectOption(json)
    await operation.locator('textarea.body-param__text').fill(JSON.stringify(body))
  }
  await operation.locator('.execute').click()
  const status = operation.locator('.live-responses-table .response .response-col_status').first()
  return Number.parseInt(await status.textContent(), 10)
}

/** Fills in the form of the upload, a file included, and executes it; answers the status that the UI shows. */
async function upload(metadata) {
  const operation = page.locator('.opblock-post', { has: page.locator('[data-path="/home/upload"]') })
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.try-out__btn').click()
  await operation.locator('.opblock-section-request-body select.content-type').first().selectOption('multipart/form-data')
  await operation.locator('input[type=file]').setInputFiles('examples/media/recording.mp3')
  const row = name => operation.locator('tr', { has: page.locator('.parameter__name', { hasText: new RegExp(`^${name}`) }) })
  await row('content').locator('textarea, input[type=text]').first().fill('[{"text": "Hello"}]')
  await row('metadata').locator('textarea').first().fill(JSON.stringify(metadata))
  await operation.locator('.execute').click()
  const status = operation.locator('.live-responses-table .response .response-col_status').first()
  return Number.parseInt(await status.textContent(), 10)
}

test('the docs need no other host, and "Try it out" works there with the cookies', { timeout: 120_000 }, async () => {
  const email = `docs-${Date.now()}@example.com`
  const password = 'correct horse battery staple'
  await page.goto(`${server.url}/docs`)
  await page.locator('.opblock').first().waitFor()

  assert.equal(await tryOut('get', '/home/list'), 401, 'nobody is signed in yet')
  // Not a reload: the address remembers the operation, which would be open already.
  await page.goto(`${server.url}/docs`)
  assert.equal(await tryOut('post', '/auth/register', { username: email, password }), 201)
  assert.equal(await tryOut('post', '/auth/signin', { username: email, password }), 200)
  assert.equal(await tryOut('get', '/home/list'), 200)
  assert.equal(await upload({ title: 'From the docs', type: 'audio', mimetype: 'audio/mpeg' }), 200)
  await screenshot(page, 'docs')

  const hosts = new Set(requested.filter(url => /^https?:|^wss?:/.test(url)).map(url => new URL(url).host))
  assert.deepEqual([...hosts], [new URL(server.url).host])
})
