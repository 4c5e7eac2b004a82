// The list of conversations: only the rows in view exist.

const $ = (id) => document.getElementById(id);
const MARGIN = 8; // rows kept above and below what is in view
let rows = []; // conversations listed, in order
let height = 0; // of a row, in CSS pixels

/** An element: its class, its text or children. Text is never parsed as HTML. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function drawList() {
  const list = $('list');
  const view = $('scroll');
  if (!height) {
    const probe = list.appendChild(make('div', 'row'));
    height = probe.offsetHeight || 64;
    probe.remove();
  }
  list.style.height = `${rows.length * height}px`;
  const first = Math.max(0, Math.floor(view.scrollTop / height) - MARGIN);
  const last = Math.min(rows.length, Math.ceil((view.scrollTop + view.clientHeight) / height) + MARGIN);
  const current = number.get(state.c);
  list.replaceChildren(...rows.slice(first, last).map((c, i) => drawRow(c, first + i, c === current)));
  const active = rows.indexOf(current);
  if (active >= first && active < last) list.setAttribute('aria-activedescendant', `row-${active}`);
  else list.removeAttribute('aria-activedescendant');
}

function drawRow(c, place, current) {
  const excerpt = make('span', 'excerpt');
  excerpt.dir = 'auto';
  put(excerpt, index.excerpts[c] || '(no text of the prompt)');
  const similarity = similarityOf(c);
  const length = (side) => make('span', side, gap(side, c) ? 'no response' : models[side].words[c].toLocaleString('en'));
  const facts = [
    index.languages[index.language[c]],
    index.turns[c] > 1 ? `${index.turns[c]} turns` : null,
    models.a ? make('span', '', length('a'), ' | ', length('b'), ' words') : null,
    similarity === null ? null : `≈ ${similarity.toFixed(2)}`,
  ];
  const row = make('div', 'row', excerpt, make('span', 'facts', ...facts.filter(Boolean).map((f) => make('bdi', '', f))));
  if (similarity !== null) row.lastChild.lastChild.title = `${metricLabel()}, mean over turns and directions`;
  row.id = `row-${place}`;
  row.style.transform = `translateY(${place * height}px)`;
  row.dataset.c = c;
  row.setAttribute('role', 'option');
  row.setAttribute('aria-selected', current);
  row.setAttribute('aria-posinset', place + 1);
  row.setAttribute('aria-setsize', rows.length);
  return row;
}

/** Scroll so that the current conversation is in view, with as little movement as possible. */
function reveal() {
  const place = rows.indexOf(number.get(state.c));
  const view = $('scroll');
  if (place < 0 || !height) return;
  const top = place * height;
  if (top < view.scrollTop) view.scrollTop = top;
  else if (top + height > view.scrollTop + view.clientHeight) view.scrollTop = top + height - view.clientHeight;
}
