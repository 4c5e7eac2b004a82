// Data files. fetch() may not read files of file://, a script element may: each file is one call of rewild().

const policy = (window.trustedTypes ?? { createPolicy: (_, rules) => rules }).createPolicy('rewild', {
  // Only what the build rendered comes here; see `put` in text.js.
  createHTML: (html) => html,
  createScriptURL: (url) => {
    if (!/^data\/[a-z]+(\/\d+(-\d+)?){0,2}\.js$/.test(url)) throw new TypeError(`not a data file: ${url}`);
    return url;
  },
});

// How many files of each kind stay in memory; the kinds are the folders below data/.
const KEPT = { index: 1, model: 8, prompt: 256, html: 12, text: 12, similarity: 6 };
const kept = new Map();
const arriving = new Map();

Object.defineProperty(window, 'rewild', { value: (name, value) => arriving.get(name)?.(value) });

/** The content of data/NAME.js, as a promise. */
function load(name) {
  const kind = name.split('/')[0];
  if (!kept.has(kind)) kept.set(kind, new Map());
  const files = kept.get(kind);
  const found = files.get(name) ?? bring(name);
  files.delete(name);
  files.set(name, found); // now the latest
  while (files.size > KEPT[kind]) files.delete(files.keys().next().value);
  found.catch(() => files.delete(name));
  return found;
}

function bring(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    const done = (settle, value) => {
      arriving.delete(name);
      script.remove();
      settle(value);
    };
    const broken = () => done(reject, new Error(`data/${name}.js cannot be read: is the folder "data" beside this page complete?`));
    arriving.set(name, (value) => done(resolve, value));
    script.charset = 'utf-8';
    script.onerror = broken;
    script.onload = () => arriving.has(name) && broken(); // it ran, but did not call
    script.src = policy.createScriptURL(`data/${name}.js`);
    document.head.append(script);
  });
}

let index; // data/index.js
let number; // conversation id -> its place
let slugs; // model slug -> its number
const blockOf = (conversation) => Math.floor(conversation / index.block);
const within = (conversation) => conversation % index.block;

/** The similarities of two models, as the left one's against the right one's: {metric: [forward, backward]}. */
async function similarities(a, b) {
  const name = `${Math.min(a, b)}-${Math.max(a, b)}`;
  if (!index.pairs.includes(name)) return null;
  const pair = await load(`similarity/${name}`);
  if (a < b) return pair;
  return Object.fromEntries(Object.entries(pair).map(([metric, sides]) => [metric, [...sides].reverse()]));
}
