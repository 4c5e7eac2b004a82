// Text of others, on the page.

const FIRST = 6000; // characters of a prompt or source shown at first
let hidden; // characters that act unseen, as the build found them too

/** Put text into an element, characters that act unseen written out as code points. Never parsed as HTML. */
function put(element, text) {
  let from = 0;
  for (const match of text.matchAll(hidden)) {
    element.append(text.slice(from, match.index));
    for (const c of match[0]) {
      element.append(make('bdi', 'ctl', `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`));
    }
    from = match.index + match[0].length;
  }
  element.append(text.slice(from));
  return element;
}

/** Plain text, its line breaks kept; a long one is cut, with a button for the rest. */
function plain(text, className) {
  const body = make('div', `plain ${className}`);
  const parts = portions(text.replace(/\r\n?/g, '\n'));
  const add = (part) => {
    const block = body.appendChild(make('div'));
    block.dir = 'auto';
    put(block, part);
  };
  add(parts[0]);
  return folded(body, parts.length > 1 ? () => parts.slice(1).forEach(add) : null);
}

/** Text in portions of about FIRST characters, cut at line ends where there are any: a browser lays out many short
 *  blocks at once, but takes minutes for one line of a million characters. */
function portions(text) {
  const parts = [];
  for (let from = 0; from < text.length || !parts.length;) {
    let to = from + FIRST;
    if (to < text.length) {
      to = text.lastIndexOf('\n', to) + 1 > from ? text.lastIndexOf('\n', to) + 1 : to;
      if (/[\udc00-\udfff]/.test(text[to])) to += 1; // not between the halves of a character
    }
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}

/** HTML that the build rendered, in pieces of which the first is shown at first. */
function rendered(pieces) {
  const body = make('div', 'md');
  const add = (html) => {
    const template = document.createElement('template');
    template.innerHTML = policy.createHTML(html);
    // Each block takes the direction of its own text, code aside.
    for (const block of template.content.children) if (!block.matches('pre,hr')) block.dir = 'auto';
    for (const code of template.content.querySelectorAll(':not(pre) > code')) code.dir = 'auto';
    body.append(template.content);
  };
  if (pieces.length) add(pieces[0]);
  return folded(body, pieces.length > 1 ? () => pieces.slice(1).forEach(add) : null);
}

/** The body in a box that is cut when it is tall; `rest` brings what was not put into it yet. */
function folded(body, rest) {
  const button = make('button', 'all', 'Show all');
  button.type = 'button';
  const box = make('div', 'fold', body, button);
  const open = () => {
    rest?.();
    rest = null;
    box.classList.add('open');
    button.remove();
    highlight();
  };
  button.addEventListener('click', open);
  box.settle = () => {
    if (!rest && body.scrollHeight <= body.clientHeight + 40) open();
  };
  box.unfold = open;
  return box;
}

/** Mark what the search found, without touching the text. */
function highlight() {
  if (!window.Highlight) return;
  CSS.highlights.delete('found');
  const wanted = terms(state.q).map((term) => new RegExp(term, 'giu'));
  if (!wanted.length) return;
  const ranges = [];
  const texts = document.createTreeWalker($('conversation'), NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest('.plain,.md') ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP);
  while (texts.nextNode() && ranges.length < 2000) {
    const node = texts.currentNode;
    for (const term of wanted) {
      for (const match of node.data.matchAll(term)) {
        const range = new Range();
        range.setStart(node, match.index);
        range.setEnd(node, match.index + match[0].length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set('found', new Highlight(...ranges));
}
