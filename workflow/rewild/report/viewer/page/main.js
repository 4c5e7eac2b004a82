// Putting it together: controls, keyboard, address.

const CONTROLS = ['a', 'b', 'q', 'in', 'lang', 'state', 'of', 'min', 'max', 'metric', 'least', 'most', 'sort'];
const SEARCHED = ['q', 'in', 'of', 'metric', 'a', 'b', ...FILTERS]; // what the search depends on
const TYPED = new Set(['q', 'min', 'max', 'least', 'most']);

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

/** Fill the selects, once the index is there. */
function fill() {
  document.title = index.title;
  $('title').textContent = index.title;
  const option = (value, text) => new Option(text, value);
  for (const side of ['a', 'b']) {
    $(side).append(...index.models.map(([slug, name]) => option(slug, name ? `${name} · ${slug}` : slug)));
  }
  const found = new Map();
  for (const l of index.language) found.set(l, (found.get(l) ?? 0) + 1);
  const languages = index.languages.map((name, l) => option(name, `${name} (${(found.get(l) ?? 0).toLocaleString('en')})`));
  $('lang').append(option('', 'any'), ...languages);
  if (found.has(-1)) $('lang').append(option('-', `not known (${found.get(-1).toLocaleString('en')})`));
  $('metric').append(...index.metrics.map(([metric, label]) => option(metric, label)));
  for (const element of document.querySelectorAll('.similar')) element.hidden = !index.metrics.length;
  for (const element of document.querySelectorAll('.judged')) element.hidden = !index.judged;
}

/** Take over a state: mend what does not exist, load what it needs, draw everything. */
async function apply(next) {
  const before = state;
  const wrong = [];
  const known = (slug, place) => {
    if (slugs.has(slug)) return slug;
    if (slug) wrong.push(`There are no responses of “${slug}” here.`);
    return index.models[Math.min(place, index.models.length - 1)][0];
  };
  state = { ...next, a: known(next.a, 0), b: known(next.b, 1) };
  if (state.c && !number.has(state.c)) {
    wrong.push(`There is no conversation “${state.c}” here.`);
    state.c = '';
  }
  if (state.lang && state.lang !== '-' && !index.languages.includes(state.lang)) {
    wrong.push(`No conversation here is in “${state.lang}”.`);
    state.lang = '';
  }
  notice(wrong.join(' '));
  draw();
  const [a, b] = [slugs.get(state.a), slugs.get(state.b)];
  const wanted = address();
  const parts = await Promise.all([load(`model/${a}`), load(`model/${b}`), a === b ? null : similarities(a, b)]);
  if (address() !== wanted) return; // overtaken
  [models.a, models.b, scores] = parts;
  if (!hits || searching || SEARCHED.some((key) => before[key] !== state[key])) {
    const done = search(update);
    done.catch(fail);
    await Promise.race([done, new Promise((go) => setTimeout(go, 80))]);
  } else update(1);
  draw();
  drawList();
  reveal();
  await show();
}

/** The list anew; `share` is how much of the search is done. */
function update(share) {
  rows = listed();
  drawList();
  const found = `${rows.length.toLocaleString('en')} of ${count(index.ids.length, 'conversation')}`;
  $('count').textContent = share < 1 ? `${found}, searching…` : found;
  draw();
  if (!state.c && rows.length && models.a && share === 1) choose(rows[0], false);
}

/** Controls that show the state. */
function draw() {
  for (const id of CONTROLS) {
    const value = id === 'metric' ? metricShown() : state[id];
    if ($(id).value !== value) $(id).value = value;
    if ($(id).selectedIndex === -1) $(id).selectedIndex = 0;
  }
  $('desc').setAttribute('aria-pressed', state.desc !== '');
  $('desc').textContent = state.desc ? '↓' : '↑';
  $('source').setAttribute('aria-pressed', state.source !== '');
  const set = FILTERS.filter((key) => state[key] !== '').length;
  $('active').textContent = set ? `(${set})` : '';
  const place = rows.indexOf(number.get(state.c));
  $('place').textContent = place < 0 ? '–' : `${(place + 1).toLocaleString('en')} of ${rows.length.toLocaleString('en')}`;
  $('previous').disabled = place === 0 || !rows.length;
  $('next').disabled = place === rows.length - 1 || !rows.length;
}

/** Change the state. Choices make an entry in the history, typing does not. */
function change(changes, push = true) {
  const next = { ...state, ...changes };
  if (Object.keys(next).every((key) => next[key] === state[key])) return Promise.resolve();
  const done = apply(next).catch(fail);
  remember(push);
  return done;
}

/** Show a conversation of the list. */
function choose(c, push = true) {
  if (index.ids[c] === state.c) return;
  state = { ...state, c: index.ids[c] };
  if (push) notice('');
  draw();
  reveal();
  drawList();
  if (push) $('main').scrollTop = 0;
  show().then(() => {
    $('say').textContent = `Conversation ${rows.indexOf(c) + 1} of ${rows.length}`;
  }).catch(fail);
  remember(push);
}

/** The conversation that many places on; from one that is not listed, the first or last. */
function step(by) {
  const place = rows.indexOf(number.get(state.c));
  const to = place < 0 ? (by > 0 ? 0 : rows.length - 1) : place + by;
  if (to >= 0 && to < rows.length) choose(rows[to]);
}

/** The same prompt, another model. */
function cycle(side, by) {
  const n = index.models.length;
  change({ [side]: index.models[(slugs.get(state[side]) + by + n) % n][0] });
}

const other = (value) => value.replace(/(?<=^|-)[ab]$/, (side) => (side === 'a' ? 'b' : 'a'));
const swap = () => change({
  a: state.b, b: state.a, of: other(state.of), state: other(state.state), sort: other(state.sort),
});
const source = () => change({ source: state.source ? '' : '1' });
const clear = () => change(Object.fromEntries(['q', 'in', 'of', ...FILTERS].map((key) => [key, ''])));
const unfold = () => document.querySelectorAll('.fold').forEach((fold) => fold.unfold());
const help = () => $('help').showModal();
const toggle = (open) => {
  document.body.classList.toggle('menu', open);
  $('menu').setAttribute('aria-expanded', document.body.classList.contains('menu'));
};

const KEYBOARD = {
  j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
  s: swap, m: source, e: unfold, '?': help,
  '/': () => { toggle(true); $('q').focus(); $('q').select(); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $('help').open) return;
  const at = event.target;
  if (event.key === 'Escape') {
    if (document.body.classList.contains('menu')) toggle(false);
    if (at.matches('input,select')) at.blur();
    return;
  }
  if (at.matches('input,select,textarea')) return;
  let action = Object.hasOwn(KEYBOARD, event.key) ? KEYBOARD[event.key] : null;
  if (/^Digit[12]$/.test(event.code)) action = () => cycle(event.code === 'Digit1' ? 'a' : 'b', event.shiftKey ? -1 : 1);
  if (at === $('list')) {
    const page = Math.max(1, Math.floor($('scroll').clientHeight / height) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    if (Object.hasOwn(moves, event.key)) {
      const place = Math.max(0, rows.indexOf(number.get(state.c)));
      action = () => rows.length && choose(rows[Math.min(rows.length - 1, Math.max(0, place + moves[event.key]))]);
    } else if (event.key === 'Enter') action = () => { toggle(false); $('main').focus(); };
  }
  if (!action) return;
  event.preventDefault();
  action();
}

function fail(error) {
  notice(error.message);
  $('conversation').setAttribute('aria-busy', 'false');
}

function listen() {
  let typing = 0;
  for (const id of CONTROLS) {
    let pointed = false; // after a choice with the pointer the keys are the page's again
    $(id).addEventListener('pointerdown', () => { pointed = true; });
    $(id).addEventListener('keydown', () => { pointed = false; });
    const now = () => {
      change({ [id]: $(id).value }, !TYPED.has(id));
      if (pointed && !TYPED.has(id)) $(id).blur();
    };
    $(id).addEventListener(TYPED.has(id) ? 'input' : 'change', TYPED.has(id)
      ? () => { clearTimeout(typing); typing = setTimeout(now, 200); }
      : now);
  }
  const clicks = {
    swap, source, clear, 'help-open': help, menu: () => toggle(),
    desc: () => change({ desc: state.desc ? '' : '1' }),
    'next-a': () => cycle('a', 1), 'next-b': () => cycle('b', 1),
    previous: () => step(-1), next: () => step(1),
    skip: (event) => { event.preventDefault(); $('main').focus(); },
  };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener('click', action);
  $('list').addEventListener('click', (event) => {
    const row = event.target.closest('.row');
    if (row) { choose(Number(row.dataset.c)); toggle(false); }
  });
  $('scroll').addEventListener('scroll', drawList, { passive: true });
  window.addEventListener('resize', () => { height = 0; drawList(); });
  window.addEventListener('popstate', () => {
    clearTimeout(pending);
    if (address() !== location.hash) apply(parse(location.hash)).catch(fail);
  });
  document.addEventListener('keydown', onKey);
}

async function start() {
  index = await load('index');
  hidden = new RegExp(index.hidden, 'gu');
  number = new Map(index.ids.map((id, c) => [id, c]));
  slugs = new Map(index.models.map(([slug], m) => [slug, m]));
  fill();
  listen();
  const first = parse(location.hash);
  if (FILTERS.some((key) => first[key] !== '')) $('filters').open = true;
  await apply(first);
  remember(false);
}

start().catch(fail);
