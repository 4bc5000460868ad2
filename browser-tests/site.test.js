// The example page on the origin of the API: `--site examples/web`.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { startServer } from './support/server.js'

const needsItsOwnServer = process.env.SERVER_URL !== undefined

describe('a web app that the server serves itself', { skip: needsItsOwnServer, timeout: 120_000 }, () => {
  let server, browser, page
  const wrong = []

  before(async () => {
    // Pages of other origins need not be allowed.
    server = await startServer('none', '--site', 'examples/web')
    browser = await launchBrowser()
    page = await browser.newPage({ viewport: { width: 1200, height: 850 } })
    page.setDefaultTimeout(15_000)
    page.on('pageerror', error => wrong.push(error.message))
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) wrong.push(message.text())
    })
  })

  after(async () => {
    await browser?.close()
    await server?.stop()
  })

  test('is at the front, uses the API of its own origin, and its policy blocks nothing', async () => {
    const requests = new Set()
    page.on('request', request => { if (request.url().startsWith('http')) requests.add(new URL(request.url()).origin) })
    await page.goto(server.url)
    await page.getByLabel('Email').fill('site@example.com')
    await page.getByLabel('Password').fill('correct horse battery staple')
    await page.getByRole('button', { name: 'Register', exact: true }).click()
    await page.getByRole('status').filter({ hasText: 'You are signed in.' }).waitFor()
    for (const [title, file] of [['A lecture', 'recording.mp3'], ['A paper', 'document.pdf']]) {
      await page.getByText('New project').click()
      await page.getByLabel('Title').fill(title)
      await page.getByLabel('Recording, video or PDF').setInputFiles(`examples/media/${file}`)
      await page.getByRole('button', { name: 'Save project', exact: true }).click()
      await page.getByRole('status').filter({ hasText: `Saved “${title}”.` }).waitFor()
    }
    await page.locator('iframe').waitFor()
    await page.getByRole('button', { name: 'A lecture' }).click()
    await page.waitForFunction(() => document.querySelector('audio')?.duration > 13)
    await page.getByLabel('New note').fill('The first words')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await screenshot(page, 'site')
    assert.deepEqual([...requests], [server.url])
    assert.deepEqual(wrong, [])
  })

  test('is also at its own paths, and the documentation of the API stays where it is', async () => {
    const own = await page.goto(`${server.url}/notes/of-a-lecture`)
    assert.equal(own.status(), 200)
    assert.match(await own.text(), /<title>notestamp example<\/title>/)
    await page.goto(`${server.url}/docs`)
    await page.getByRole('heading', { name: /notestamp/ }).first().waitFor()
  })
})
