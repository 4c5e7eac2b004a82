// One conversation, turn by turn: what the user wrote, and both models' responses side by side.

const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
const nameOf = (slug) => index.models[slugs.get(slug)][1] ?? slug;
const ELEMENTS = {
  h1: 'h1', h2: 'h2', h3: 'h3', h4: 'h4', strong: 'bold', em: 'italic', ul: 'bulleted list', ol: 'numbered list',
  table: 'table', pre: 'code block', code: 'inline code', blockquote: 'quotation', hr: 'rule', p: 'paragraph',
};
const UNCOUNTED = new Set(['h1', 'h2', 'h3', 'h4', 'strong', 'em', 'code']); // no plural
const PLAIN = {
  long: 'Not formatted: very long',
  tangled: 'Not formatted: too many open brackets',
  deep: 'Not formatted: nested too deeply',
};
let showing = null;

/** Show the conversation of the state. A later call ends this one. */
async function show() {
  const mine = {};
  showing = mine;
  const box = $('conversation');
  const c = number.get(state.c);
  if (c === undefined) {
    box.replaceChildren(make('p', 'empty', 'No conversation is chosen.'));
    box.setAttribute('aria-busy', 'false');
    return;
  }
  box.setAttribute('aria-busy', 'true');
  const [a, b] = [slugs.get(state.a), slugs.get(state.b)];
  const files = [`prompt/${blockOf(c)}`, `html/${a}/${blockOf(c)}`, `html/${b}/${blockOf(c)}`];
  const texts = state.source ? [`text/${a}/${blockOf(c)}`, `text/${b}/${blockOf(c)}`] : [];
  const parts = await Promise.all([...files, ...texts].map(load));
  const [prompts, left, right, leftText, rightText] = parts.map((part) => part[within(c)]); // texts: if asked for
  if (showing !== mine) return;
  const turns = prompts.map(([turn, prompt], i) => {
    const section = make('section', 'turn');
    section.setAttribute('aria-label', `Turn ${i + 1} of ${prompts.length}`);
    section.append(...[
      user(c, turn, prompt, i, prompts.length),
      similarity(c, i),
      make('div', 'pair', answer('a', left[i], leftText?.[i]), answer('b', right[i], rightText?.[i])),
    ].filter(Boolean));
    return section;
  });
  const id = make('p', 'id', 'Conversation ', make('code', '', state.c));
  box.replaceChildren(id, ...turns);
  box.setAttribute('aria-busy', 'false');
  for (const fold of box.querySelectorAll('.fold')) if (!fold.closest('details')) fold.settle();
  highlight();
  // The neighbours, so that the next key finds them there.
  const place = rows.indexOf(c);
  for (const near of [rows[place + 1], rows[place - 1]]) {
    if (near !== undefined && blockOf(near) !== blockOf(c)) {
      for (const name of [`prompt/${blockOf(near)}`, `html/${a}/${blockOf(near)}`, `html/${b}/${blockOf(near)}`]) {
        load(name).catch(() => {});
      }
    }
  }
}

function user(c, turn, prompt, i, n) {
  const head = make('header', '', make('h2', '', 'User'));
  head.append(facts([
    n > 1 ? `turn ${i + 1} of ${n}` : null,
    index.language[c] >= 0 ? `language: ${index.languages[index.language[c]]}` : null,
    turn === i ? null : `user turn ${turn + 1} of the source`,
  ]));
  return make('div', 'user', head,
    prompt ? plain(prompt, 'prompt') : make('p', 'empty', 'The text of this turn is not among the data.'));
}

/** Short facts in a row. */
function facts(values) {
  return make('ul', 'facts', ...values.filter(Boolean).map((value) =>
    make('li', value.className ?? '', make('bdi', '', value.text ?? value))));
}

function similarity(c, i) {
  if (!scores) return null;
  const shown = (side) => (side?.[c]?.[i] ?? null) === null ? null : (side[c][i] / index.unit).toFixed(3);
  const items = index.metrics.map(([metric, label, minor]) => {
    const sides = (scores[metric] ?? []).map(shown);
    if (sides.every((value) => value === null)) return null;
    const item = make('li', '', make('span', 'metric', label));
    if (sides.length === 1) item.append(make('b', '', sides[0]));
    else {
      const [forward, backward] = sides.map((value) => value ?? '–');
      item.append(make('b', '', `${forward} → `, `${backward} ←`));
      item.title = `left against right ${forward}, right against left ${backward}`;
    }
    return [item, minor];
  }).filter(Boolean);
  if (!items.length) return null;
  const of = (which) => items.filter(([, minor]) => minor === which).map(([item]) => item);
  const list = make('ul', 'similarity', ...of(false));
  if (of(true).length) {
    list.append(make('li', 'more', make('details', '', make('summary', '', 'more'), make('ul', '', ...of(true)))));
  }
  list.setAttribute('aria-label', 'Similarity of the two responses');
  return list;
}

/** One response with what is known about it. */
function answer(side, known, text) {
  const slug = state[side];
  const name = make('h2', '', nameOf(slug));
  if (nameOf(slug) !== slug) name.append(make('small', '', slug));
  const head = make('header', '', name);
  const article = make('article', `answer ${side}`, head);
  article.setAttribute('aria-label', `${side === 'a' ? 'Left' : 'Right'}: ${nameOf(slug)}`);
  if (!known) {
    article.classList.add('none');
    article.append(make('p', 'empty', 'No response of this model is recorded for this turn.'));
    return article;
  }
  head.append(facts([
    known.language ? `language: ${known.language}` : null,
    known.finish ? { text: `finish: ${known.finish}`, className: known.finish === 'length' ? 'warn' : '' } : null,
    known.truncation ? { text: `prompt cut: ${known.truncation}`, className: 'warn' } : null,
    known.words === undefined ? null : count(known.words, 'word'),
    known.characters === undefined ? null : count(known.characters, 'character'),
    known.tokens === undefined ? null : count(known.tokens, 'token'),
  ]));
  if (known.failure !== undefined) {
    article.classList.add('none');
    article.append(make('p', 'empty', 'This model gave no response: ', put(make('bdi', '', ''), known.failure)));
  } else {
    if (known.plain) article.append(make('p', 'note', `${PLAIN[known.plain]}.`));
    if (!known.html.length) article.append(make('p', 'empty', 'The response has no visible text.'));
    article.append(text !== undefined ? plain(text, 'source') : rendered(known.html));
    const style = Object.entries(ELEMENTS).filter(([tag]) => known.elements?.[tag]).map(([tag, one]) =>
      count(known.elements[tag], one, UNCOUNTED.has(tag) ? one : `${one}s`));
    if (style.length) article.append(make('footer', '', make('span', '', 'Style'), facts(style)));
  }
  for (const [judge, score, best, pieces] of known.judgments ?? []) {
    const mark = score === null ? 'no score' : `${Number(score.toFixed(3))}${best === null ? '' : ` / ${best}`}`;
    const summary = make('summary', '', make('bdi', '', judge), ' ', make('b', '', mark));
    const judgment = make('details', 'judgment', summary);
    if (pieces.length) judgment.append(rendered(pieces));
    else judgment.append(make('p', 'note', 'The judge wrote no text.'));
    judgment.addEventListener('toggle', () => judgment.querySelector('.fold')?.settle(), { once: true });
    article.append(judgment);
  }
  return article;
}
