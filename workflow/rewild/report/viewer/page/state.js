// What is shown, and its address. The address follows the state a little later: browsers slow down pages that
// change it too often, as a held key would.

const START = {
  c: '', a: '', b: '', q: '', in: '', lang: '', state: '', of: '', min: '', max: '',
  metric: '', least: '', most: '', sort: '', desc: '', source: '',
};
const FILTERS = ['lang', 'state', 'min', 'max', 'least', 'most'];
let state = { ...START };

/** The state as an address. Defaults are left out; conversation and models are always there. */
function address(of = state) {
  const given = Object.entries(of).filter(([, value]) => value !== '');
  return `#${new URLSearchParams(given)}`;
}

/** The state an address names; keys it does not know are ignored. */
function parse(hash) {
  const read = { ...START };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ''))) {
    if (Object.hasOwn(START, key)) read[key] = value;
  }
  return read;
}

let pending = 0;
let pushing = false;

/** Write the state into the address: a new entry of the history if `push`, else in place of the current one. */
function remember(push) {
  pushing ||= push;
  clearTimeout(pending);
  pending = setTimeout(() => {
    const hash = address();
    if (hash !== location.hash) history[pushing ? 'pushState' : 'replaceState'](null, '', hash);
    pushing = false;
  }, 150);
}
