// Debian's Chromium, headless, walking through login, consent and connect pages as people would.
//
//   node browser.mjs --executable PATH --screenshots FOLDER
//
// Prints {"ready": "browser"}, then reads one JSON object a line and answers each with one:
//
//   {"do": "walk", "person": NAME, "url": URL, "until": PREFIX, "login": NAME, "refuse": false,
//    "tamper": {"at": PREFIX, "drop": [..], "set": {..}}, "stop_at": PREFIX}
//        goes to URL in the browser of PERSON (each has cookies of their own) and does what the pages ask:
//        fills the provider's login page as `login`, agrees to its consent page, presses the button of the
//        gateway's pages (or the refusing one). Ends at a URL that begins with `until`, or at a page that
//        asks nothing. `tamper` changes the query of the first request whose URL begins with `at`;
//        `stop_at` keeps the first such request from being sent and reports it.
//        Answers {ok, url, status, title, text, steps: [{page, url, status, headers}], stopped, error};
//        URLs are reported without their values of code and state, but `stopped` is the whole URL.
//   {"do": "open", "person": NAME, "url": URL}      the page, nothing pressed
//   {"do": "cookies", "person": NAME}               [{name, domain, path, secure, httpOnly, sameSite}]
//   {"do": "visit" | "press" | "hold" | "release" | "watch" | "watched" | "fetch", ...}   one page of the console: see visit.mjs
//   {"do": "forget", "person": NAME}                closes that person's browser
//
// What went wrong leaves a picture in FOLDER.

import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { fetched, hold, press, release, visit, watch, watched } from './visit.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--disable-features=HttpsUpgrades',
];
const MAX_STEPS = 14;
const PAGE_MILLISECONDS = 20_000;
const HIDDEN = ['code', 'state', 'ticket', 'handle', 'token'];
const SHOWN_HEADERS = ['content-security-policy', 'x-frame-options', 'cache-control', 'referrer-policy'];

const option = (name) => {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) throw new Error(`--${name} is needed`);
  return process.argv[at + 1];
};
const screenshots = option('screenshots');
mkdirSync(screenshots, { recursive: true });
const browser = await chromium.launch({ executablePath: option('executable'), headless: true, args: FLAGS });
const people = new Map();
let pictures = 0;

async function contextOf(person) {
  if (!people.has(person)) people.set(person, await browser.newContext({ ignoreHTTPSErrors: true }));
  return people.get(person);
}

function shown(address) {
  if (!URL.canParse(address)) return address;
  const url = new URL(address);
  for (const name of HIDDEN) if (url.searchParams.has(name)) url.searchParams.set(name, '-');
  return url.href;
}

async function picture(page) {
  pictures += 1;
  await page.screenshot({ path: `${screenshots}/${pictures}.png` }).catch(() => {});
}

/** What the page wants of a person: an element to press, after filling in what it asks. */
async function wanted(page, order) {
  const prompt = await page.locator('input[name=prompt]').first().inputValue({ timeout: 300 }).catch(() => null);
  if (prompt === 'login') {
    await page.fill('input[name=login]', order.login ?? order.person);
    await page.fill('input[name=password]', 'any');
    return { kind: 'provider login', button: page.locator('button[type=submit]').first() };
  }
  if (prompt) return { kind: `provider ${prompt}`, button: page.locator('button[type=submit]').first() };
  const buttons = page.locator('form button, form input[type=submit]');
  const count = await buttons.count();
  if (count === 0) return null;
  const refusing = /do not|deny|refuse|reject|cancel|decline|revoke|end|sign out|log out/i;
  for (let index = 0; index < count; index += 1) {
    const button = buttons.nth(index);
    const words = `${await button.innerText().catch(() => '')} ${await button.getAttribute('value')} ${await button.getAttribute('name')}`;
    if (refusing.test(words) === Boolean(order.refuse)) return { kind: `page (${words.trim().slice(0, 40)})`, button };
  }
  return null;
}

/**
 * Changes or holds back requests on their way; returns what was held back. By the browser's own protocol,
 * because the library's routing does not see what a redirect leads to.
 */
async function interfere(page, order) {
  const held = { url: null };
  const pending = { ...order.tamper };
  if (!order.tamper && !order.stop_at) return held;
  const session = await page.context().newCDPSession(page);
  // A page that is closed meanwhile takes its requests with it.
  const send = (method, parameters) => session.send(method, parameters).catch(() => {});
  session.on('Fetch.requestPaused', ({ requestId, request }) => {
    if (order.stop_at && request.url.startsWith(order.stop_at)) {
      held.url ??= request.url;
      const body = Buffer.from('<title>stopped</title>').toString('base64');
      const responseHeaders = [{ name: 'content-type', value: 'text/html' }];
      return send('Fetch.fulfillRequest', { requestId, responseCode: 200, responseHeaders, body });
    }
    if (pending.at && request.url.startsWith(pending.at)) {
      pending.at = null;
      return send('Fetch.continueRequest', { requestId, url: tampered(request.url, pending) });
    }
    return send('Fetch.continueRequest', { requestId });
  });
  await session.send('Fetch.enable', { patterns: [{ urlPattern: '*' }] });
  return held;
}

function tampered(address, { drop = [], set = {} }) {
  const url = new URL(address);
  for (const name of drop) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(set)) url.searchParams.set(name, value);
  return url.href;
}

/** Waits for a page that leads on by itself; it may have done so already. */
async function moved(page, address) {
  if (page.url() !== address) return null;
  return page.waitForNavigation({ waitUntil: 'load' });
}

async function walk(order) {
  const page = await (await contextOf(order.person)).newPage();
  page.setDefaultTimeout(PAGE_MILLISECONDS);
  const steps = [];
  const answer = (more) => ({ ok: false, url: shown(page.url()), steps, stopped: null, error: null, ...more });
  try {
    const held = await interfere(page, order);
    let response = await page.goto(order.url, { waitUntil: 'load' });
    for (let step = 0; step < MAX_STEPS; step += 1) {
      await page.waitForLoadState('load');
      const address = page.url();
      const headers = Object.fromEntries(Object.entries(response?.headers() ?? {}).filter(([name]) => SHOWN_HEADERS.includes(name)));
      const told = { status: response?.status() ?? null, title: await page.title(), text: (await page.innerText('body').catch(() => '')).slice(0, 1500) };
      if (held.url) return answer({ ok: true, stopped: held.url, ...told });
      if (order.until && address.startsWith(order.until)) return answer({ ok: true, ...told });
      // A page that leads on may have done so while it was looked at.
      if (page.url() !== address) {
        response = null;
        continue;
      }
      if (!order.look && (await page.locator('meta[http-equiv=refresh]').count()) > 0) {
        steps.push({ page: 'on its way', url: shown(address), status: told.status, headers });
        response = await moved(page, address);
        continue;
      }
      const next = order.look ? null : await wanted(page, order);
      steps.push({ page: next?.kind ?? 'end', url: shown(address), status: told.status, headers });
      if (!next) {
        const reached = !order.until && !order.stop_at;
        if (!reached) await picture(page);
        return answer({ ok: reached, error: reached ? null : 'the walk ended at a page that asks nothing', ...told });
      }
      [response] = await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), next.button.click()]);
    }
    throw new Error('the walk did not come to an end');
  } catch (error) {
    await picture(page);
    // A client that is gone when the browser comes back to it has still been come back to.
    if (order.until && page.url().startsWith(order.until)) return answer({ ok: true });
    return answer({ error: `${error.message}`.split('\n')[0] });
  } finally {
    await page.close();
  }
}

const house = { browser, contextOf, screenshots };
const ACTS = {
  walk,
  visit: (order) => visit(house, order),
  press: (order) => press(house, order),
  hold: (order) => hold(house, order),
  release: (order) => release(house, order),
  watch: (order) => watch(house, order),
  watched: (order) => watched(house, order),
  fetch: (order) => fetched(house, order),
  open: (order) => walk({ ...order, look: true }),
  cookies: async ({ person }) =>
    (await (await contextOf(person)).cookies()).map(({ value, ...rest }) => ({ ...rest, length: value.length })),
  forget: async ({ person }) => {
    await people.get(person)?.close();
    people.delete(person);
    return { ok: true };
  },
};

process.stdout.write(`${JSON.stringify({ ready: 'browser' })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const answer = await ACTS[order.do](order).catch((error) => ({ ok: false, error: error.message }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
