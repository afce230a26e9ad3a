// Keeps the part of the page that is marked live as it is now: asks for the page again and takes that part out of the
// answer. Stands still while the page is hidden, paused, or worked in. Without it every page says the same.
(() => {
  'use strict';
  const region = document.querySelector('[data-live]');
  const bar = document.getElementById('live');
  if (!region || !bar) return;
  const told = bar.querySelector('[role=status]');
  const button = bar.querySelector('button');
  const every = Number(region.dataset.live) * 1000;
  // Screen readers are told of changes, but not of every one.
  const quiet = 30_000;
  const patience = 3;
  let paused = false;
  let failures = 0;
  let said = 0;

  const say = (text) => {
    told.textContent = text;
    said = Date.now();
  };

  async function renew() {
    const answer = await fetch(location.href, {
      headers: { 'x-live': '1' }, credentials: 'same-origin', redirect: 'error', cache: 'no-store',
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.querySelector('[data-live]');
    if (!fresh) throw new Error('the page has become another one');
    // Somebody may have gone to work in it meanwhile.
    if (paused || region.contains(document.activeElement) || fresh.innerHTML === region.innerHTML) return;
    region.replaceChildren(...fresh.childNodes);
    if (Date.now() - said >= quiet) say(`Updated at ${new Date().toLocaleTimeString()}.`);
  }

  async function beat() {
    if (!paused && !document.hidden && !region.contains(document.activeElement)) {
      try {
        await renew();
        failures = 0;
      } catch {
        failures += 1;
        if (failures >= patience) {
          button.hidden = true;
          say('This page is not kept up to date any more: load it again.');
          return;
        }
      }
    }
    setTimeout(beat, every);
  }

  button.addEventListener('click', () => {
    paused = !paused;
    button.setAttribute('aria-pressed', String(paused));
    say(paused ? 'Updates are paused.' : 'This page keeps itself up to date.');
  });
  bar.hidden = false;
  setTimeout(beat, every);
})();
