"""The viewer's build: what the Markdown becomes, what the data files hold, what is refused."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewild.core.conversations import conversation_id
from rewild.core.errors import ConfigError, DataError
from rewild.measures.similarity.schema import label
from rewild.measures.style.markup import count_markdown
from rewild.report.viewer.build import Inputs, build
from rewild.report.viewer.markdown import LIMIT, is_safe_link, render, show_hidden
from rewild.report.viewer.page import SCRIPTS, make_page
from viewer_data import answer, synthetic, write_judgments, write_responses, write_similarity

ALLOWED = {
    "a": {"href", "title", "rel", "target", "class"},
    "ol": {"start"},
    **{t: {"class"} for t in ("h4", "h5", "h6", "th", "td", "bdi", "span", "pre")},
    **{t: set() for t in ("p", "ul", "li", "strong", "em", "code", "blockquote", "hr", "br")},
    **{t: set() for t in ("table", "thead", "tbody", "tr")},
}
CLASSES = {"h1", "h2", "h3", "h4", "h5", "h6", "left", "center", "right", "ctl", "info", "plain", "image"}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<style>*{display:none}</style><meta http-equiv=refresh content=0><base href=//evil.example>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](&#106;avascript&colon;alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:x) [x](data:text/html,<script>alert(1)</script>) [x](file:///etc/passwd)",
    "[x](//evil.example) [x](/x) [x](#x) [x](x.html) [x](blob:https://evil.example/1)",
    "![x](javascript:alert(1)) ![x](data:image/svg+xml,<svg/onload=alert(1)>) ![](https://evil.example/x.png)",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a] ![a]",
    '[x](https://e.example/"onmouseover="alert(1)) [x](https://e.example "t\\" onclick=alert(1) x=")',
    '```"><script>alert(1)</script>\n</code></pre><script>alert(1)</script>',
    "`<b onclick=alert(1)>`",
    '| <b> |\n|:-:" onload=x|\n| <script>alert(1)</script> |',
    "<div\nonclick=alert(1)>**bold**</div",
    "<!-- --><![CDATA[<script>alert(1)</script>]]><?x <script>alert(1)</script> ?>",
    "</div></article></main></body></html><h1>out",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
    "a\x00b\x08c\x1bd\u2028e\u2029f\u202eg\u2066h\ufeffi\U000e0041j\x85k",
    "\\<script>alert(1)\\</script> \\[x](javascript:alert(1))",
]


class Checker(HTMLParser):
    """Fails on anything but the elements, attributes and nesting that the renderer may write."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ALLOWED[tag], (tag, name)
            if name == "class":
                assert value in CLASSES, value
            if name == "href":
                assert re.match(r"(https?://|mailto:)", value or "", re.I), value
                assert ("rel", "noopener noreferrer nofollow") in attrs
        if tag not in ("hr", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("br", "hr")
        assert not attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def check(text: str) -> str:
    """Check each piece by itself; return the visible text."""
    seen = []
    for piece in render(text).pieces:
        checker = Checker()
        checker.feed(piece)
        checker.close()
        assert checker.open == [], piece
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", piece)
        seen += checker.text
    return "".join(seen)


# Markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_becomes_harmless_html(text: str) -> None:
    check(text)
    check(f"> - {text}\n>   1. {text}\n\n{text}{text}")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from([*HOSTILE, "\n", "\n\n", "- ", "> ", "| ", "```\n"]), st.text(max_size=8))
    )
)
def test_any_mixture_becomes_harmless_html(parts: list[str]) -> None:
    check("".join(parts))


ALPHABET = "ab<>&\"' \n*_#->[]()`|!\\1.:/~\t"


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from([*ALPHABET, "|a|b|\n|-|-|\n", "```", "    ", "\n\n", "> ", "- ", "1. "]), max_size=40
    )
)
def test_what_markdown_takes_away_is_markup(parts: list[str]) -> None:
    """Every letter stays in view, in order."""
    text = "".join(parts)
    assert re.findall("[ab]", check(text).replace("image: ", "")) == re.findall("[ab]", text)


def test_markdown_is_rendered() -> None:
    text = "# T\n\nA **b** *c* `d<e`\n\n3. x\n4. y\n\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n```py\nf(1)\n```\n\n<https://e.example/?a=1&b=2>"
    assert "".join(render(text).pieces) == (
        '<h4 class="h1">T</h4>\n'
        "<p>A <strong>b</strong> <em>c</em> <code>d&lt;e</code></p>\n"
        '<ol start="3"><li>x</li>\n<li>y</li>\n</ol>\n'
        '<table><thead><tr><th class="center">a</th>\n<th class="right">b</th>\n</tr>\n</thead>\n'
        '<tbody><tr><td class="center">1</td>\n<td class="right">2</td>\n</tr>\n</tbody>\n</table>\n'
        '<pre><span class="info">py</span><code>f(1)\n</code></pre>\n'
        '<p><a href="https://e.example/?a=1&amp;b=2" title="https://e.example/?a=1&amp;b=2"'
        ' rel="noopener noreferrer nofollow" target="_blank">https://e.example/?a=1&amp;b=2</a></p>\n'
    )


def test_an_image_is_a_link_and_never_loaded() -> None:
    (html,) = render('![a "cat"](https://e.example/cat.png "Title")').pieces
    assert "<img" not in html
    assert '<a class="image" href="https://e.example/cat.png"' in html
    assert ">image: a &quot;cat&quot;</a>" in html
    assert check("![x](/etc/passwd)") == "![x](/etc/passwd)\n"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        *[(u, True) for u in ("http://a.b", "HTTPS://a.b/c?d#e", "mailto:a@b.c")],
        *[(u, False) for u in ("javascript:x", "http:javascript:x", "//a.b", "/a", "#a", "a", "", "ftp://a")],
        *[(u, False) for u in (" https://a", "https://a b", "https://a\nb", "data:,x", "blob:https://a/x")],
    ],
)
def test_links_lead_to_the_web_or_to_mail(url: str, safe: bool) -> None:
    assert is_safe_link(url) is safe


def test_what_acts_unseen_is_written_out() -> None:
    assert check("a\u202eb\u2066c") == "aU+202EbU+2066c\n"
    assert check("&#x202e; `\u202d`\n\n    \u2067") == "U+202E U+202D\nU+2067\n\n"
    assert check("null \x00, escape \x1b, smuggled \U000e0041\U000e0042") == (
        "null \u2400, escape U+001B, smuggled U+E0041U+E0042\n"
    )
    # Persian needs the joiner, emoji too, and three flags are made of tags.
    wales = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
    assert check(f"می\u200cخواهم 👩\u200d🚀 {wales}") == f"می\u200cخواهم 👩\u200d🚀 {wales}\n"
    assert show_hidden('<a "b"> \u202e') == '&lt;a &quot;b&quot;&gt; <bdi class="ctl">U+202E</bdi>'


def test_a_table_keeps_the_cells_beyond_its_width() -> None:
    (html,) = render("> |a|b|\n> |-|-|\n> |1|2|*3*|4|\n> |5|").pieces
    assert "<tr><td>1</td>\n<td>2</td>\n<td><em>3</em></td>\n<td>4</td>\n</tr>" in html
    assert "<tr><td>5</td>\n<td></td>\n</tr>" in html


def test_what_cannot_be_formatted_is_shown_as_it_is() -> None:
    long = render("**a** " * (LIMIT // 6 + 1))
    assert long.plain == "long"
    assert "".join(long.pieces).count("**a**") == LIMIT // 6 + 1
    deep = render(">" * 200 + " text")
    assert deep.plain == "deep"
    for piece in ("<![", "[", "![", "[a]("):
        tangled = render(piece * (49_000 // len(piece)))
        assert tangled.plain == "tangled"
        assert "".join(tangled.pieces).count("[") == 49_000 // len(piece)
    assert render("[a](https://e.example) " * 1_000).plain is None
    assert check(">" * 200 + " text") == ">" * 200 + " text"
    assert check("[a]: https://e.example\n[a]") == "[a]: https://e.example\n[a]\n"


def test_a_long_answer_is_cut_between_blocks() -> None:
    text = "\n\n".join(f"## H{i}\n\n{'word ' * 50}" for i in range(120))
    pieces = render(text).pieces
    assert len(pieces) > 2
    assert check(text).count("word") == 6000
    assert [h for piece in pieces for h in re.findall(r'class="h2">(H\d+)', piece)] == [
        f"H{i}" for i in range(120)
    ]


def test_counts_agree_with_the_study_of_style() -> None:
    text = (
        "# T\n\nThree **bold words** and *two*.\n\n- a\n- b\n\n1. c\n\n"
        "| x | y |\n|---|---|\n| 1 | 2 |\n\n> q\n\n```\ncode\n```"
    )
    rendered, counted = render(text), count_markdown(text)
    assert rendered.words == counted.words == 15
    assert {tag: rendered.elements.get(tag, 0) for tag in counted.tags} == dict(counted.tags)
    assert rendered.elements["pre"] == rendered.elements["table"] == 1


# Data files


def read(folder: Path, name: str) -> Any:
    """The content of a data file, as the page gets it."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    assert text.startswith(f'rewild("{name}",')
    assert text.endswith(")\n")
    assert "<" not in text
    return json.loads(text[len(f'rewild("{name}",') : -2])


TURNS = ["What is a monarchy?", "And a republic?"]
ONE = conversation_id(TURNS)
OTHER = conversation_id(["Only one turn\u2028here </script>"])


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    other = ["Only one turn\u2028here </script>"]
    rows = [
        answer(
            TURNS, 0, "ann", "A **state**.", finish_reason="length", output_tokens=4, response_language="en"
        ),
        answer(TURNS, 1, "ann", None, failure="timeout after 3 attempts"),
        answer(TURNS, 0, "bob", "One ruler."),
        answer(TURNS, 1, "bob", "No ruler at all.", truncation="left"),
        answer(other, 0, "bob", "</script><script>alert(1)</script>", language=None),
    ]
    responses = [
        write_responses(tmp_path / f"{m}.parquet", [r for r in rows if r["model"] == m])
        for m in ("ann", "bob")
    ]
    pair = [
        {
            "conversation_id": ONE,
            "turn": 0,
            "model": a,
            "reference": b,
            "rougeL": 0.25,
            "meteor": m,
            "unused": None,
        }
        for a, b, m in (("ann", "bob", 0.5), ("bob", "ann", 0.6254))
    ]
    judgments = [
        {
            "conversation_id": ONE,
            "turn": 0,
            "model": "ann",
            "judge": "gpt",
            "score": 7,
            "best": 10,
            "judgment": "<b>Ok</b>",
        },
        {
            "conversation_id": ONE,
            "turn": 1,
            "model": "bob",
            "judge": "gpt",
            "score": None,
            "best": None,
            "judgment": None,
        },
        {
            "conversation_id": ONE,
            "turn": 0,
            "model": "cyd",
            "judge": "gpt",
            "score": 1,
            "best": 10,
            "judgment": "?",
        },
    ]
    return Inputs(
        responses,
        [write_similarity(tmp_path / "s.parquet", pair, ["rougeL", "meteor", "unused"])],
        [write_judgments(tmp_path / "j.parquet", judgments)],
    )


def test_the_data_files_hold_what_was_given(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = build(inputs, out, title="T </script>", names={"ann": "A"})
    assert counts == {
        "conversations": 2, "models": 2, "turns": 3, "responses": 4, "judgments": 2, "pairs": 1,
    }  # fmt: skip
    index = read(out, "index")
    first, last = sorted([ONE, OTHER])
    at = index["ids"].index(ONE)
    assert index["ids"] == [first, last]
    assert index["title"] == "T </script>"
    assert index["models"] == [["ann", "A"], ["bob", None]]
    assert index["metrics"] == [["rougeL", "ROUGE-L F1", False], ["meteor", label("meteor"), False]]
    assert index["pairs"] == ["0-1"]
    assert index["judged"] is True
    assert index["languages"] == ["English"]
    assert index["language"][at] == 0
    assert index["language"][1 - at] == -1
    assert index["turns"][at] == 2
    assert index["words"][at] == 7
    assert index["excerpts"][at] == TURNS[0]
    assert read(out, "prompt/0")[at] == [[0, TURNS[0]], [1, TURNS[1]]]
    ann, bob = (read(out, f"html/{m}/0") for m in (0, 1))
    assert ann[at][0] == {
        "html": ["<p>A <strong>state</strong>.</p>\n"], "words": 2, "characters": 12,
        "elements": {"strong": 1, "p": 1}, "finish": "length", "language": "en", "tokens": 4,
        "judgments": [["gpt", 7.0, 10.0, ["<p>&lt;b&gt;Ok&lt;/b&gt;</p>\n"]]],
    }  # fmt: skip
    assert ann[at][1] == {"failure": "timeout after 3 attempts"}
    assert ann[1 - at] == [None]
    assert bob[at][1]["truncation"] == "left"
    assert bob[at][1]["judgments"] == [["gpt", None, None, []]]
    assert read(out, "text/1/0")[1 - at] == ["</script><script>alert(1)</script>"]
    assert read(out, "text/0/0")[at] == ["A **state**.", None]
    model = read(out, "model/0")
    assert [model[k][at] for k in ("words", "failed", "missing", "cut", "score")] == [2, 1, 0, 1, 7.0]
    assert [model[k][1 - at] for k in ("words", "failed", "missing", "cut", "score")] == [0, 0, 1, 0, None]
    pair = read(out, "similarity/0-1")
    assert pair["rougeL"][0][at] == [250, None]
    assert len(pair["rougeL"]) == 1
    assert [side[at][0] for side in pair["meteor"]] == [500, 625]
    assert "unused" not in pair


def test_models_are_shown_in_the_order_asked_for(inputs: Inputs, tmp_path: Path) -> None:
    build(inputs, tmp_path / "out", title="T", models=["bob", "ann"])
    assert [m for m, _ in read(tmp_path / "out", "index")["models"]] == ["bob", "ann"]
    at = read(tmp_path / "out", "index")["ids"].index(ONE)
    assert [side[at][0] for side in read(tmp_path / "out", "similarity/0-1")["meteor"]] == [625, 500]
    build(inputs, tmp_path / "out", title="T", models=["ann"])
    assert read(tmp_path / "out", "index")["pairs"] == []
    assert not (tmp_path / "out/data/html/1").exists()  # nothing of the last build is left
    assert read(tmp_path / "out", "index")["ids"] == [ONE]


@pytest.mark.heavy
def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    files = synthetic(tmp_path, 120, 2)
    build(Inputs(files), tmp_path / "x", title="T", workers=1)
    build(Inputs(files[::-1]), tmp_path / "y", title="T", workers=2)
    paths = sorted(p.relative_to(tmp_path / "x") for p in (tmp_path / "x").rglob("*.*"))
    assert paths == sorted(p.relative_to(tmp_path / "y") for p in (tmp_path / "y").rglob("*.*"))
    assert len(paths) == 1 + 1 + 3 + 2 + 2 * 2 * 3  # page, index, prompts, models, html and text
    for path in paths:
        assert (tmp_path / "x" / path).read_bytes() == (tmp_path / "y" / path).read_bytes(), path


def test_the_limit_keeps_the_least_ids(tmp_path: Path) -> None:
    files = synthetic(tmp_path, 120, 1, full=False)
    ids = sorted(set(pl.read_parquet(files[0])["conversation_id"]))
    assert len(ids) == 120
    build(Inputs(files), tmp_path / "out", title="T", max_conversations=51)
    assert read(tmp_path / "out", "index")["ids"] == ids[:51]
    assert [len(read(tmp_path / "out", f"html/0/{b}")) for b in (0, 1)] == [50, 1]


def test_a_manifest_stands_for_its_shards(tmp_path: Path) -> None:
    (tmp_path / "0000.parquet").write_bytes(synthetic(tmp_path, 3, 1, full=False)[0].read_bytes())
    shard = {
        "sha256": "",
        "conversations": 3,
        "rows": 6,
        "failures": 0,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    manifest = {
        "study": "s", "model": "model-0", "engine": "imported", "history": "reference", "recipe": "r",
        "identity": {}, "conversations": 3, "rows": 6, "failures": 0, "failures_by_reason": {},
        "input_tokens": 0, "output_tokens": 0, "shards": [{"shard": "0000", **shard}],
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert build(Inputs([tmp_path / "manifest.json"]), tmp_path / "out", title="T")["responses"] == 6


def test_the_page_allows_its_own_script_and_style_only() -> None:
    page = make_page()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script>")
    assert page.count("<script") == page.count("<style") == 1
    assert not re.search(r'\s(on\w+|style)="', page.split("<script>")[0].split("</style>")[1])
    assert "{{" not in page.split("<script>")[0]
    parts = Path(__file__).resolve().parents[2] / "workflow/rewild/report/viewer/page"
    assert {p.stem for p in parts.glob("*.js")} == set(SCRIPTS)


# Faults


def spoil(path: Path, **changes: Any) -> None:
    pl.read_parquet(path).with_columns(**changes).write_parquet(path)


def test_faults_are_named_and_leave_what_was_there(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(inputs, out, title="T")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def fails(error: type[Exception], message: str, given: Inputs = inputs, **settings: Any) -> None:
        with pytest.raises(error, match=message):
            build(given, out, title="T", **settings)
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before

    gone = tmp_path / "gone.parquet"
    fails(DataError, r"gone\.parquet: no such file \(a responses table", Inputs([gone]))
    fails(DataError, r"gone\.parquet: no such file \(a similarity table", Inputs(inputs.responses, [gone]))
    fails(
        DataError, r"gone\.parquet: no such file \(a response judgments", Inputs(inputs.responses, [], [gone])
    )
    fails(ConfigError, r"no responses of 'bobb'; did you mean 'bob'\?", models=["bobb"])
    gone.write_text("no parquet")
    fails(DataError, r"gone\.parquet: cannot be read as a responses table", Inputs([gone]))
    fails(DataError, r"gone\.parquet: cannot be read as a similarity table", Inputs(inputs.responses, [gone]))
    write_responses(gone, [])
    fails(DataError, "no responses to show: the responses tables given have no rows", Inputs([gone]))
    pl.DataFrame({"model": ["ann"]}).write_parquet(gone)
    fails(DataError, r"gone\.parquet: column 'conversation_id' is missing", Inputs([gone]))
    fails(DataError, r"gone\.parquet: column 'conversation_id' is missing", Inputs(inputs.responses, [gone]))
    write_similarity(gone, [], [])
    fails(DataError, r"gone\.parquet: no metric", Inputs(inputs.responses, [gone]))
    write_similarity(gone, [], ["rouge1"])
    fails(DataError, "other metrics", Inputs(inputs.responses, [*inputs.similarity, gone]))
    fails(DataError, "this judgment stands twice", Inputs(inputs.responses, [], inputs.judgments * 2))


def test_faults_in_responses_name_the_row(inputs: Inputs, tmp_path: Path) -> None:
    ann, bob = inputs.responses
    original = ann.read_bytes()
    spoil(ann, attempts=pl.when(pl.col("turn") == 1).then(None).otherwise(1).cast(pl.Int16))
    with pytest.raises(DataError, match=r"ann\.parquet, row 2, column 'attempts': the value is missing"):
        build(inputs, tmp_path / "out", title="T")
    ann.write_bytes(original)
    again = tmp_path / "again.parquet"
    again.write_bytes(original)
    with pytest.raises(
        DataError, match=rf"turn 0 of conversation {ONE} stands twice among the responses of ann"
    ):
        build(Inputs([ann, again]), tmp_path / "out", title="T")
    spoil(ann, prompt=pl.lit("Something else"))
    with pytest.raises(DataError, match=r"bob\.parquet: turn 0 .* has another prompt for bob"):
        build(Inputs([ann, bob]), tmp_path / "out", title="T")


def test_the_command_says_what_is_wrong_and_what_it_made(inputs: Inputs, tmp_path: Path, rewild) -> None:
    run = rewild(tmp_path, "viewer", "none.parquet", "--out", "out")
    assert run.returncode == 1
    assert run.stdout == "error: none.parquet: no such file (a responses table was expected)\n"
    run = rewild(tmp_path, "viewer", "ann.parquet", "--out", "out", "--name", "ann")
    assert run.stdout == "error: --name ann: SLUG=NAME was expected\n"
    options = ("--similarity", "s.parquet", "--judgments", "j.parquet", "--name", "ann=A", "--title", "x y")
    run = rewild(tmp_path, "viewer", "ann.parquet", "bob.parquet", "--out", "out", *options)
    assert run.returncode == 0, run.stdout
    assert run.stdout == (
        "2 conversations, 2 models, 3 turns, 4 responses, 2 judgments, 1 pairs\nopen out/index.html\n"
    )
    assert read(tmp_path / "out", "index")["title"] == "x y"
