// Two tabs of one browser share its cookies during a slow upload of one tab.

import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { launchBrowser } from './support/browser.js'
import { startHoldingRelay } from './support/holding_relay.js'
import { startPageServer } from './support/page_server.js'
import { startServer } from './support/server.js'

const password = 'correct horse battery staple'
const folders = ['browser-tests/pages/home', 'browser-tests/pages/shared', 'examples/media']
// The tests need a server with their own settings, not the one at SERVER_URL.
const skip = process.env.SERVER_URL !== undefined

describe('two tabs', { skip, timeout: 180_000 }, () => {
  let pages, server, browser, context, relay, uploading, other, first, second
  let users = 0

  before(async () => {
    pages = await startPageServer(0, ...folders)
    server = await startServer(pages.origin, '--access-ttl', '2s')
    browser = await launchBrowser()
  })

  after(async () => {
    await browser?.close()
    await server?.stop()
    await pages?.stop()
  })

  beforeEach(async () => {
    first = `first-${Date.now()}-${++users}@example.com`
    second = `second-${Date.now()}-${users}@example.com`
    relay = await startHoldingRelay(server.url)
    context = await browser.newContext()
    uploading = await openTab(relay.url)
    other = await openTab(server.url)
    for (const email of [first, second]) assert.equal((await client(other, 'register', email, password)).status, 201)
    assert.equal((await client(other, 'signIn', first, password)).status, 200)
  })

  afterEach(async () => {
    await context.close()
    await relay.stop()
  })

  async function openTab(api) {
    const tab = await context.newPage()
    await tab.goto(`${pages.origin}/?${new URLSearchParams({ api })}`)
    return tab
  }

  const client = (tab, method, ...args) =>
    tab.evaluate(([method, args]) => window.client[method](...args), [method, args])

  const userOf = tab =>
    tab.evaluate(async api => {
      const response = await fetch(`${api}/auth/user`, { credentials: 'include' })
      return response.ok ? (await response.json()).email : response.status
    }, server.url)

  async function token(name) {
    return (await context.cookies(server.url)).find(cookie => cookie.name === `__Host-${name}Token`).value
  }

  async function untilAccessTokenHasExpired() {
    const { exp } = JSON.parse(Buffer.from((await token('access')).split('.')[1], 'base64url'))
    await other.waitForFunction(exp => Date.now() / 1_000 > exp, exp)
  }

  /** Begins to save a recording with an expired access token. Returns a function that lets the upload continue to its end. */
  async function beginSlowUpload() {
    await untilAccessTokenHasExpired()
    const saved = uploading.evaluate(() =>
      window.client.save({ title: 'A long lecture', type: 'audio', mimetype: 'audio/wav' }, [], window.silence(1 << 20)))
    await relay.held
    return () => {
      relay.letGo()
      return saved
    }
  }

  test('stay signed in if one tab refreshes several times during a slow upload of the other', async () => {
    const finishUpload = await beginSlowUpload()
    const seen = new Set([await token('refresh')])
    while (seen.size < 4) {
      await untilAccessTokenHasExpired()
      assert.equal((await client(other, 'list')).status, 200)
      seen.add(await token('refresh'))
    }
    const newest = await token('refresh')
    assert.equal((await finishUpload()).status, 200)
    assert.equal(await token('refresh'), newest, 'the upload has put no older token back')
    for (const tab of [uploading, other, uploading]) {
      await untilAccessTokenHasExpired()
      assert.deepEqual((await client(tab, 'list')).body.map?.(project => project.title), ['A long lecture'])
    }
  })

  test('keep the session of a user who signs in during a slow upload', async () => {
    const finishUpload = await beginSlowUpload()
    assert.equal((await client(other, 'signIn', second, password)).status, 200)
    assert.equal((await finishUpload()).status, 200, 'the first session is open still')
    for (const tab of [other, uploading, other]) {
      assert.equal(await userOf(tab), second)
      assert.deepEqual((await client(tab, 'list')).body, [])
      await untilAccessTokenHasExpired()
    }
    assert.equal((await client(other, 'save', { title: 'Mine', type: '', mimetype: '' }, [], null)).status, 200)
    assert.equal((await client(other, 'signIn', first, password)).status, 200)
    assert.deepEqual((await client(other, 'list')).body.map(project => project.title), ['A long lecture'])
  })
})
