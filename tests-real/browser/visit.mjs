// One page at a time, as an operator at the console would have it: looked at on a wide and on a narrow screen, in the
// light and in the dark, without script, judged by axe-core; a form filled in and sent.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SERIOUS = ['serious', 'critical'];
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

/** What axe-core finds that is serious: rule, and the first element of each. */
async function violations(page) {
  // By the browser's own protocol, which the page's policy against scripts does not concern.
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.filter(({ impact }) => SERIOUS.includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 160)}`);
}

/** How far the page is wider than the screen, in pixels. */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function told(page, response) {
  return {
    url: page.url(), status: response?.status() ?? null, scripts: await page.$$eval('script', (all) => all.map(({ src, text }) => [src, text])), title: await page.title(), html: await page.content(),
    text: await page.innerText('body'), policy: response?.headers()['content-security-policy'] ?? null,
  };
}

/**
 * {"do": "visit", "person", "url", "picture": NAME}   the page: {ok, url, status, title, text, html, violations,
 *                                                      overflow, unscripted, milliseconds, errors}
 * With "glance" it is judged once, wide and in the light, and measured narrow: for what is looked at more than once.
 */
export async function visit({ browser, contextOf, screenshots }, { person, url, picture, glance }) {
  const context = await contextOf(person);
  const page = await context.newPage();
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  try {
    await page.setViewportSize(WIDE);
    const began = performance.now();
    const response = await page.goto(url, { waitUntil: 'load' });
    const answer = { ok: true, milliseconds: performance.now() - began, ...(await told(page, response)) };
    if (picture) await page.screenshot({ path: `${screenshots}/${picture}.png` });
    answer.violations = await violations(page);
    await page.emulateMedia({ colorScheme: 'dark' });
    if (!glance) answer.violations.push(...(await violations(page)).map((one) => `dark: ${one}`));
    await page.setViewportSize(NARROW);
    answer.overflow = await overflow(page);
    if (!glance) answer.violations.push(...(await violations(page)).map((one) => `narrow: ${one}`));
    if (picture) await page.screenshot({ path: `${screenshots}/${picture}-narrow-dark.png` });
    answer.unscripted = glance ? answer.text : await unscripted(browser, context, url);
    return { ...answer, errors };
  } finally {
    await page.close();
  }
}

/** The page's text in the same session in a browser that runs no script. */
async function unscripted(browser, context, url) {
  const plain = await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
  try {
    const page = await plain.newPage();
    await page.goto(url, { waitUntil: 'load' });
    return await page.locator('main').innerText();
  } finally {
    await plain.close();
  }
}

/**
 * {"do": "press", "person", "url", "form": ACTION, "fill": {FIELD: TEXT}, "picture": NAME, "keys": true}   fills in the
 * form that goes to ACTION and sends it: by a click, or by the keyboard alone.
 */
export async function press({ contextOf, screenshots }, { person, url, form, nth = 0, fill = {}, picture, keys }) {
  const page = await (await contextOf(person)).newPage();
  try {
    await page.setViewportSize(WIDE);
    await page.goto(url, { waitUntil: 'load' });
    const chosen = page.locator(`form[action="${form}"]`).nth(nth);
    for (const [field, text] of Object.entries(fill)) await chosen.locator(`[name="${field}"]`).fill(text);
    const button = chosen.locator('button');
    const pressed = keys ? tabTo(page, button) : button.click();
    const [response] = await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), pressed]);
    if (picture) await page.screenshot({ path: `${screenshots}/${picture}.png` });
    return { ok: true, ...(await told(page, response)) };
  } finally {
    await page.close();
  }
}

/**
 * {"do": "hold", "person", "url", "form": ACTION}   opens the page and leaves the form unsent
 * {"do": "release", "person", "picture": NAME}       sends it, whatever has happened since
 */
const held = new Map();

export async function hold({ contextOf }, { person, url, form }) {
  const page = await (await contextOf(person)).newPage();
  await page.goto(url, { waitUntil: 'load' });
  const button = page.locator(`form[action="${form}"] button`).first();
  await button.waitFor();
  held.set(person, { page, button });
  return { ok: true };
}

export async function release({ screenshots }, { person, picture }) {
  const { page, button } = held.get(person);
  held.delete(person);
  try {
    const [response] = await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), button.click()]);
    if (picture) await page.screenshot({ path: `${screenshots}/${picture}.png` });
    return { ok: true, ...(await told(page, response)) };
  } finally {
    await page.close();
  }
}

/**
 * {"do": "watch", "person", "url"}   opens the page and leaves it open, as somebody who looks on does
 * {"do": "watched", "person", "text", "seconds", "pause": true}   whether the text comes up by itself within the time, how
 *                                                                  often the page asked meanwhile, and closes it
 */
const open = new Map();

export async function watch({ contextOf }, { person, url }) {
  const page = await (await contextOf(person)).newPage();
  const seen = { page, asked: 0, loaded: 0 };
  page.on('request', (request) => (request.isNavigationRequest() ? (seen.loaded += 1) : (seen.asked += request.url() === url)));
  await page.goto(url, { waitUntil: 'load' });
  open.set(person, seen);
  return { ok: true, said: await page.locator('#live').innerText(), text: await page.innerText('main') };
}

export async function watched(_, { person, text, seconds, pause }) {
  const { page, ...before } = open.get(person);
  try {
    if (pause) await page.locator('#live button').click();
    const asked = open.get(person).asked;
    const came = page.locator('[data-live]', { hasText: text }).waitFor({ timeout: seconds * 1000 }).then(() => true, () => false);
    const answer = { ok: true, came: await came, asked: open.get(person).asked - asked, loaded: open.get(person).loaded };
    return { ...answer, before: before.loaded, said: await page.locator('#live').innerText() };
  } finally {
    await page.close();
    open.delete(person);
  }
}

/** {"do": "fetch", "person", "url"}   what is downloaded: {ok, status, headers, text} */
export async function fetched({ contextOf }, { person, url }) {
  const answer = await (await contextOf(person)).request.get(url, { maxRedirects: 0 });
  return { ok: true, status: answer.status(), headers: answer.headers(), text: await answer.text() };
}

/** Reaches the element by the tabulator alone, and presses it. */
async function tabTo(page, button) {
  for (let step = 0; step < 200; step += 1) {
    await page.keyboard.press('Tab');
    if (await button.evaluate((element) => element === document.activeElement)) return page.keyboard.press('Enter');
  }
  throw new Error('the keyboard does not reach the button');
}
