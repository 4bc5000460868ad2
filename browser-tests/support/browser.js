// The system's Chromium, controlled by playwright-core, which scripts/test installs.

import { createRequire } from 'node:module'

const { chromium } = createRequire(new URL('../../target/browser-tests/package.json', import.meta.url))('playwright-core')

/** `hosts` are host names that resolve to this machine. */
export function launchBrowser(...hosts) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // These let Chromium run as root in a container, and prevent requests of its own to other hosts.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(hosts.length ? [`--host-resolver-rules=${hosts.map(host => `MAP ${host} 127.0.0.1`)}`] : []),
    ],
  })
}

export async function screenshot(page, name) {
  await page.screenshot({ path: new URL(`../../target/browser-tests/${name}.png`, import.meta.url).pathname })
}
