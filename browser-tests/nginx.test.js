// The server behind a real nginx, with the configurations of docs/operating.md: on its own host, and below a path.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import { after, before, describe, test } from 'node:test'
import { launchBrowser, screenshot } from './support/browser.js'
import { freePort, host, startNginx } from './support/nginx.js'
import { startServer } from './support/server.js'
import { outsideHosts, tryOut, upload } from './support/swagger_ui.js'

const password = 'correct horse battery staple'
/** A request without the browser: the host name leads to this machine, and the test's certificate is accepted. */
const directly = {
  lookup: (_name, { all }, found) => (all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)),
  rejectUnauthorized: false,
  agent: false,
}
// The tests need a server with their own settings, not the one at SERVER_URL.
const skip = process.env.SERVER_URL !== undefined

for (const [configuration, prefix] of [['notestamp.conf', ''], ['below-a-path.conf', '/notes']]) {
  describe(`behind nginx with ${configuration}`, { skip, timeout: 180_000 }, () => {
    let server, nginx, browser, context, page, base
    const requested = []
    const email = `nginx-${Date.now()}@example.com`

    before(async () => {
      const port = await freePort()
      base = `https://${host}:${port}${prefix}`
      const settings = ['--public-url', base, '--trusted-proxy', '127.0.0.1', '--sign-in-failures', '2/15m,100/15m']
      server = await startServer('http://localhost:3000', ...settings)
      nginx = await startNginx(configuration, port, server.url)
      browser = await launchBrowser(host)
      context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 1600 } })
      page = await context.newPage()
      page.on('request', request => requested.push(request.url()))
    })

    after(async () => {
      await browser?.close()
      await nginx?.stop()
      await server?.stop()
    })

    /** Runs `fetch` in the open page. */
    const get = path =>
      page.evaluate(async url => {
        const response = await fetch(url)
        return { status: response.status, link: response.headers.get('link'), body: await response.json() }
      }, base + path)

    /** Saves a project with media of a few bytes; returns the status. */
    const save = title =>
      page.evaluate(async ([url, title]) => {
        const form = new FormData()
        form.append('metadata', JSON.stringify({ title, mimetype: 'audio/mpeg' }))
        form.append('mediaFile', new Blob(['sound']), 'sound.mp3')
        form.append('notesFile', new Blob(['[]']), 'notes.json')
        return (await fetch(url, { method: 'POST', body: form })).status
      }, [`${base}/project/save`, title])

    test('the front page leads to the docs, and "Try it out" works there', async () => {
      await page.goto(`${base}/`)
      await page.getByRole('link', { name: 'Explore the API' }).click()
      await page.locator('.opblock').first().waitFor()
      assert.equal(page.url(), `${base}/docs`)

      assert.equal(await tryOut(page, 'post', '/auth/register', { username: email, password }), 201)
      assert.equal(await tryOut(page, 'post', '/auth/signin', { username: email, password }), 200)
      assert.equal(await tryOut(page, 'get', '/home/list'), 200)
      assert.equal(await upload(page, { title: 'From the docs', type: 'audio', mimetype: 'audio/mpeg' }), 200)
      await screenshot(page, `docs-${configuration}`)
      assert.deepEqual(outsideHosts(requested, base), [])

      const cookies = await context.cookies()
      assert.deepEqual(cookies.map(cookie => cookie.name).sort(), ['__Host-accessToken', '__Host-deviceToken', '__Host-refreshToken'])
      for (const cookie of cookies) assert.deepEqual([cookie.path, cookie.secure, cookie.httpOnly], ['/', true, true])
    })

    test('the OpenAPI document has the right URL of the server', async () => {
      const { body } = await get('/openapi.json')
      assert.deepEqual(body.servers.map(it => new URL(it.url, `${base}/openapi.json`).href), [`${base}/`])
    })

    test('links in responses lead through the proxy: media plays, and the next page loads', async () => {
      const { body } = await get('/home/list')
      const { src } = body.find(project => project.title === 'From the docs')
      assert.ok(src.startsWith(`${base}/home/media/`), src)
      const seconds = await page.evaluate(src => {
        const audio = new Audio(src)
        return new Promise((resolve, reject) => {
          audio.onloadedmetadata = () => resolve(audio.duration)
          audio.onerror = () => reject(new Error(audio.error.message))
        })
      }, src)
      assert.ok(Math.abs(seconds - 13.8) < 0.5, `it knows its duration, and says ${seconds} s`)

      assert.equal(await save('The second'), 200)
      const first = await get('/home/list?limit=1')
      const next = first.link.match(/<([^>]*)>; rel="next"/)[1]
      assert.ok(next.startsWith(`${base}/home/list?`), next)
      assert.equal((await get(next.slice(base.length))).body.length, 1)
    })

    test('titles in paths reach the server as the client encoded them, and the log contains no signatures', async () => {
      for (const title of ['a/b', '100 %', '%2F', '?x=y#z', '..', 'né 🎧', 'a+b&c']) {
        assert.equal(await save(title), 200, title)
        if (title === '..') continue // A path of the clients cannot hold it: browsers resolve it.
        const got = await get(`/project/get/${encodeURIComponent(title)}`)
        assert.deepEqual([got.status, got.body.title], [200, title])
        assert.match(got.body.src, /signature=/)
        assert.equal(await page.evaluate(async src => (await fetch(src)).status, got.body.src), 200, title)
      }
      assert.doesNotMatch(await nginx.log(), /signature/)
    })

    test('a refused upload gets its response before the upload is complete', async () => {
      const request = https.request(`${base}/home/upload`, {
        ...directly,
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=b', 'content-length': 64 << 20 },
      })
      request.on('error', () => {})
      request.write('--b\r\n')
      const [response] = await once(request, 'response')
      assert.equal(response.statusCode, 401)
      request.destroy()
    })

    test('failed sign-ins count for the client, even with a forged header, and not for the proxy', async () => {
      const wrong = (from, headers) => signIn(from, 'not the password', headers)
      assert.deepEqual([await wrong('127.0.0.2'), await wrong('127.0.0.2'), await wrong('127.0.0.2')], [401, 401, 429])
      assert.equal(await wrong('127.0.0.2', { 'x-forwarded-for': '203.0.113.7' }), 429)
      assert.equal(await wrong('127.0.0.2', { forwarded: 'for=203.0.113.7' }), 429)
      assert.equal(await signIn('127.0.0.3', password), 200)
    })

    /** The status of a sign-in through nginx, by a connection from this address. */
    async function signIn(localAddress, password, headers = {}) {
      const body = JSON.stringify({ username: email, password })
      const request = https.request(`${base}/auth/signin`, {
        ...directly,
        localAddress,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
      })
      request.end(body)
      const [response] = await once(request, 'response')
      response.resume()
      return response.statusCode
    }

    test('the example page works on the same host', { skip: !prefix }, async () => {
      await page.goto(`${nginx.origin}/?${new URLSearchParams({ api: base })}`)
      await page.getByText(email).waitFor()
      await page.locator('#projects button', { hasText: 'From the docs' }).click()
      await page.waitForFunction(() => document.querySelector('audio')?.duration > 13)
      await page.getByLabel('Search').fill('second')
      await page.waitForFunction(() => document.querySelectorAll('#projects button').length === 1)
    })
  })
}
