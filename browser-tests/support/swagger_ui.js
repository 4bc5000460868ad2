// Swagger UI, used like a person.

/** Presses "Try it out" and "Execute" of one operation; returns the status that the UI shows. */
export async function tryOut(page, method, path, body) {
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

/** Fills in the form of the upload, a file included, and executes it; returns the status that the UI shows. */
export async function upload(page, metadata) {
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

/** The hosts of these URLs that are not the server's. */
export function outsideHosts(urls, serverUrl) {
  const hosts = urls.filter(url => /^(https?|wss?):/.test(url)).map(url => new URL(url).host)
  return [...new Set(hosts)].filter(host => host !== new URL(serverUrl).host)
}
