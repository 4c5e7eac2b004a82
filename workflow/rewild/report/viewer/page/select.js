// Which conversations are listed, and in which order.

const models = {}; // what is known of the models at left (a) and right (b): data/model/N.js
let scores = null; // similarities of the two
let hits = null; // conversations that the search has found: a byte each; null without a search
let searching = null; // the search under way

const total = (values) => values.reduce((sum, value) => sum + value, 0);
const mean = (values) => (values.length ? total(values) / values.length : null);

/** The mean similarity of a conversation over its turns and both directions, 0 to 1; null where there is none. */
function similarityOf(conversation, metric = metricShown()) {
  const sides = (scores?.[metric] ?? []).filter(Boolean).map((side) => side[conversation]);
  const value = mean(sides.flat().filter((v) => v !== null));
  return value === null ? null : value / index.unit;
}

const metricShown = () => (index.metrics.some(([m]) => m === state.metric) ? state.metric : (index.metrics[0]?.[0] ?? ''));
const metricLabel = () => index.metrics.find(([m]) => m === metricShown())[1];

const given = (side, c) => models[side].missing[c] < index.turns[c]; // whether it was asked at all
const gap = (side, c) => models[side].failed[c] + models[side].missing[c] > 0;
const STATES = {
  both: (c) => !gap('a', c) && !gap('b', c),
  gap: (c) => gap('a', c) || gap('b', c),
  'gap-a': (c) => gap('a', c),
  'gap-b': (c) => gap('b', c),
  cut: (c) => models.a.cut[c] + models.b.cut[c] > 0,
  'cut-a': (c) => models.a.cut[c] > 0,
  'cut-b': (c) => models.b.cut[c] > 0,
};
const difference = (x, y) => (x === null || y === null ? null : x - y);
const KEYS = {
  prompt: (c) => index.words[c],
  turns: (c) => index.turns[c],
  a: (c) => models.a.words[c],
  b: (c) => models.b.words[c],
  gap: (c) => models.a.words[c] - models.b.words[c],
  similarity: (c) => similarityOf(c),
  'score-a': (c) => models.a.score[c],
  'score-b': (c) => models.b.score[c],
  'score-gap': (c) => difference(models.a.score[c], models.b.score[c]),
};

/** A bound as typed; one that is no number does not bind. */
function bound(text, otherwise) {
  const value = Number(text.trim().replace(',', '.'));
  return text.trim() === '' || Number.isNaN(value) ? otherwise : value;
}

/** Tests of a conversation, one per filter that is set. */
function tests() {
  const set = [];
  if (state.lang !== '') {
    const wanted = state.lang === '-' ? -1 : index.languages.indexOf(state.lang);
    set.push((c) => index.language[c] === wanted);
  }
  if (state.state !== 'all') set.push((c) => given('a', c) || given('b', c));
  if (Object.hasOwn(STATES, state.state)) set.push(STATES[state.state]);
  const [min, max] = [bound(state.min, -Infinity), bound(state.max, Infinity)];
  if (min > -Infinity || max < Infinity) {
    const words = KEYS[state.of === 'a' || state.of === 'b' ? state.of : 'prompt'];
    set.push((c) => words(c) >= min && words(c) <= max);
  }
  const [least, most] = [bound(state.least, -Infinity), bound(state.most, Infinity)];
  if (index.metrics.length && (least > -Infinity || most < Infinity)) {
    set.push((c) => {
      const value = similarityOf(c);
      return value !== null && value >= least && value <= most;
    });
  }
  return set;
}

/** The conversations that pass, without the search. */
function filtered() {
  const set = tests();
  return index.ids.map((_, c) => c).filter((c) => set.every((test) => test(c)));
}

/** The conversations to list, in order. What has no value to sort by comes last, either way. */
function listed() {
  const found = filtered().filter((c) => !hits || hits[c]);
  if (!Object.hasOwn(KEYS, state.sort)) return state.desc ? found.reverse() : found;
  const keys = new Map(found.map((c) => [c, KEYS[state.sort](c)]));
  const sign = state.desc ? -1 : 1;
  return found.sort((x, y) => {
    const [u, v] = [keys.get(x), keys.get(y)];
    if (u === null || v === null) return (u === null) - (v === null) || x - y;
    return sign * (u - v) || x - y;
  });
}

/** The words and "phrases" of a search, each as an expression that ignores case. */
function terms(query) {
  const found = query.normalize('NFC').match(/"[^"]+"|[^\s"]+/g) ?? [];
  return found.map((term) => term.replace(/^"|"$/g, '')).map((term) =>
    new RegExp(term.trim().replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/\s+/g, '\\s+'), 'iu'));
}

/** Search the blocks one after another, so that the first hits show at once; a later search ends this one. */
async function search(update) {
  const mine = {};
  searching = mine;
  const wanted = terms(state.q);
  if (!wanted.length) {
    hits = searching = null;
    return update(1);
  }
  const found = new Uint8Array(index.ids.length);
  hits = found;
  const folders = [];
  if (state.in !== 'responses') folders.push('prompt');
  if (state.in) folders.push(...new Set([`text/${slugs.get(state.a)}`, `text/${slugs.get(state.b)}`]));
  const blocks = inBlocks(filtered());
  const ahead = [...blocks.keys()];
  const bring = (block) => Promise.all(folders.map((folder) => load(`${folder}/${block}`)));
  const ready = new Map();
  let shown = performance.now();
  for (let i = 0; i < ahead.length; i++) {
    for (const block of ahead.slice(i, i + 4)) if (!ready.has(block)) ready.set(block, bring(block));
    const parts = await ready.get(ahead[i]);
    ready.delete(ahead[i]);
    if (searching !== mine) return;
    for (const c of blocks.get(ahead[i])) {
      const texts = parts.flatMap((part, p) => textsOf(part[within(c)], folders[p] === 'prompt'));
      found[c] = wanted.every((term) => texts.some((text) => term.test(text))) ? 1 : 0;
    }
    if (performance.now() - shown > 100) {
      update((i + 1) / ahead.length);
      await new Promise((go) => setTimeout(go)); // let the page answer
      if (searching !== mine) return;
      shown = performance.now();
    }
  }
  searching = null;
  update(1);
}

const textsOf = (conversation, prompts) =>
  prompts ? conversation.map(([, text]) => text) : conversation.filter((text) => text !== null);

function inBlocks(conversations) {
  const blocks = new Map();
  for (const c of conversations) {
    if (!blocks.has(blockOf(c))) blocks.set(blockOf(c), []);
    blocks.get(blockOf(c)).push(c);
  }
  return blocks;
}
