"""Any reply of a judge, in all forms, is a verdict or unclear; also when stored and read again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Server, serving
from fuzzing import fuzz
from judging_workspace import Workspace, knowing
from rewild.config import load_models
from rewild.config.base import identity, validate
from rewild.config.endpoint import Takes
from rewild.config.judging import Judging, asked_judge
from rewild.config.preferences import Judge, Preference, grades_of
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.engines.base import EngineError
from rewild.engines.wire import read_answer
from rewild.evaluation.judged.alpaca_eval import AlpacaEval, PlainAlpacaEval
from rewild.evaluation.judged.arena_hard import ArenaHard
from rewild.evaluation.judged.ask import judge
from rewild.evaluation.judged.base import JudgedBenchmark
from rewild.evaluation.judged.mixeval import MixEval
from rewild.evaluation.judged.mt_bench import MTBench
from rewild.evaluation.judged.schema import JUDGMENTS
from rewild.evaluation.judged.wildbench import WildBench
from rewild.generation.asking.base import JudgeRequest, Reply
from rewild.generation.asking.store import Replies, request_hash
from rewild.generation.asking.verdicts import conclusion, last_bracket, unquoted
from rewild.training.preferences import scorers
from rewild.training.preferences.scorers import Grade, Item, read_rating

MIXEVAL = {"options": ["a", "b"], "target": 1}
FORMS: list[tuple[JudgedBenchmark, dict, float, float]] = [
    (MTBench(), {}, 1, 10),
    (ArenaHard(), {}, 0, 1),
    (MixEval(), {"kind": "free-form"}, 0, 1),
    (MixEval(), {"kind": "multiple-choice", **MIXEVAL}, 0, 1),
    (WildBench(), {}, 1, 10),
    (AlpacaEval(), {"switched": False}, 1, 2),
    (PlainAlpacaEval(), {"switched": True}, 1, 2),
]
SIGNS = ["[[", "]]", "[", "]", "7", "0.5", "A", "A>B", "m", "<think>", "</think>", '"', "'", "`", "```"]
SIGNS += ["“", "”", "}", "Rating: ", "[[7]]", "not "]
PIECES = st.sampled_from(
    [*SIGNS, "\n", "> ", "- ", '{"score": ', " to ", " or ", "9" * 400, "[The Start of X]", "\x00"]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join)
LOGPROBS = st.lists(
    st.dictionaries(st.sampled_from(["m", "M", "x"]), st.floats() | st.sampled_from([1000.0, 1e308, -1e308])),
    max_size=2,
)


@fuzz(600)
@given(TEXTS, LOGPROBS)
def test_any_reply_is_a_verdict_or_unclear(text: str, logprobs: list[dict[str, float]]) -> None:
    for benchmark, state, lowest, highest in FORMS:
        request = JudgeRequest("q", 0, "game-1", (), "t", state=state)
        reply = Reply(text, tuple(logprobs))
        try:
            verdict = benchmark.parse(reply, request)
        except DataError:
            assert not logprobs
            continue
        assert verdict is None or lowest <= verdict.value <= highest
        assert verdict is not None or benchmark.unclear(reply, request)
    rated = read_rating(text)
    assert (rated.score is None) == (rated.failure is not None)
    assert len(unquoted(text)) == len(text)


@fuzz(200)
@given(TEXTS, TEXTS)
def test_reasoning_is_no_part_of_a_verdict(thought: str, rest: str) -> None:
    thought = thought.replace("<think>", "").replace("</think>", "")
    own = conclusion(rest)
    assert conclusion(f"<think>{thought}</think>{rest}") in (own, rest.strip()) or "</think>" in rest
    said = last_bracket(f"<think>{thought}</think>\nRating: [[8]]")
    assert said.label == "8"


@pytest.mark.parametrize(
    "sign", ["“", '"', "`", "'", "[[", "<think>", "[The Start of a]", "\n- [[1]]", "<q>", "```\n"]
)
def test_a_long_reply_of_one_sign_is_read_in_one_go(sign: str) -> None:
    """Quadratic reading would take hours here; the test's own limit would stop it."""
    last_bracket(sign * 50_000)


def test_a_quotation_that_is_never_closed_quotes_nothing() -> None:
    assert last_bracket('It begins "Once. It says “[[3]]”. Rating: [[7]]').label == "7"
    assert last_bracket('It begins "Once. It says “[[3]]”.').label is None


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("The answer shows `<think>` tags. Rating: [[7]]", "7"),
        ("It opens a <think> tag that it never closes. Rating: [[7]]", "7"),
        ("Rating: [[7]]. It ends with a stray </think> tag.", "7"),
        ("<think>It shows `</think>` [[2]]</think>[[9]]", "9"),
        ("Hm. <think>[[2]]", None),
        ("<think> tags are odd, so [[2]]", None),
        ("<|START_THINKING|>[[2]]", None),
        ("<|START_THINKING|>[[2]]<|END_THINKING|>[[9]]", "9"),
        ("<|thinking|>[[2]]", None),
        ("<longcat_think>[[2]]", None),
        ("<unused94>thought [[2]]", None),
        ("<|channel|>analysis<|message|>[[2]]", None),
        ("<|channel>thought\n[[2]]<channel|>[[9]]", "9"),
    ],
)
def test_reasoning_by_any_name_and_tags_that_are_only_spoken_of(reply: str, label: str | None) -> None:
    assert last_bracket(reply).label == label


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("Rating: [[7]] (on a scale from [[1]] (worst) to [[10]] (best))", "7"),
        ("Rating: [[5]]. It deserves neither [[1]] nor [[10]].", "5"),
        ("Rating: [[7]]. I cannot give it a [[10]].", "7"),
        ("Rating: [[7]]. With sources it would have been a [[10]].", "7"),
        ("[[0.6]]; [[0]] would be harsh", "0.6"),
        ("I would give it a [[7]]", "7"),
        ("It is not bad. [[7]]", "7"),
        ("It is not perfect, so [[7]]", "7"),
        ("[[1]], [[2]], ..., [[10]]. Mine is [[4]].", "4"),
        ("[[1]], [[2]], ..., [[10]]", None),
        ("[[A>B]], [[A=B]], or [[B>A]]", None),
    ],
)
def test_verdicts_that_are_only_spoken_of(reply: str, label: str | None) -> None:
    assert last_bracket(reply).label == label


# The step


ODD = {
    "model": "a\ud800b",
    "choices": [
        {
            "message": {"content": "Rating: [[7]] \udc00"},
            "finish_reason": "st\ud800op",
            "logprobs": {"content": [{"top_logprobs": [{"token": "m\ud800", "logprob": 1000}]}]},
        }
    ],
    "usage": {"prompt_tokens": 10**400, "completion_tokens": math.nan},
}


@contextmanager
def answering(server: Server, value: object) -> Iterator[None]:
    server.always = [(200, json.dumps(value).encode(), {})]
    yield


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def work(tmp_path: Path, server: Server) -> Workspace:
    made = Workspace(tmp_path, {"endpoint": server.url, "limits": {"demo-chat": 4}})
    made.answer(made.task(), "one", knowing)
    return made


def test_odd_fields_of_a_reply_lose_nothing(work: Workspace, server: Server) -> None:
    with answering(server, ODD):
        spent = judge(work.task(), "one")
    found = read_table(work.task().folder("one") / "judgments.parquet", JUDGMENTS)
    assert (spent.judgments, spent.failures) == (found.height, {})
    assert set(found["value"]) == {7.0}
    assert set(found["judge_said"]) == {"a?b"}
    assert found["estimated"].all()
    assert json.loads(found["logprobs"][0]) == [{}]
    before = len(server.seen)
    judge(work.task(), "one")  # and the next run reads it again
    assert len(server.seen) == before


@pytest.mark.parametrize(
    "logprob", [1000, math.nan, math.inf, 10**400, 0.5, "-1", None, True], ids=lambda v: str(v)[:9]
)
def test_a_number_that_is_no_log_probability_makes_a_reply_unclear(logprob: object) -> None:
    likely = [{"token": "m", "logprob": -0.1}, {"token": "M", "logprob": logprob}]
    body = {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"top_logprobs": likely}]}}]}
    answer = read_answer(json.dumps(body).encode())
    request = JudgeRequest("q", 0, "judgment", (), "t", state={"switched": False})
    assert AlpacaEval().parse(Reply("x", answer.logprobs), request) is None
    assert AlpacaEval().parse(Reply("x", ({"m": -0.1, "M": math.nan},)), request) is None  # stored long ago


def test_a_refusing_judge_is_no_result(work: Workspace, server: Server) -> None:
    server.always = [(402, b'{"error": {"message": "no credit"}}', {})]
    with pytest.raises(EngineError, match="402: it wants to be paid: no credit"):
        judge(work.task(), "one")
    folder = work.task().folder("one")
    assert not (folder / "judgments.parquet").exists()
    assert not list(work.task().work("one", "judging").glob("*.parquet"))
    server.always = [(200, json.dumps({"choices": [{"message": {"content": "[[7]]"}}]}).encode(), {})]
    assert judge(work.task(), "one").failures == {}


def test_credit_that_runs_out_keeps_finished_chunks(work: Workspace, server: Server) -> None:
    good = json.dumps({"choices": [{"message": {"content": "[[7]]"}}]}).encode()
    work.write_study({"endpoint": server.url, "chunk": 2, "concurrency": 1, "limits": {"demo-chat": 4}})
    server.always = [(200, good, {})]
    send, calls = server.always, []

    class Turning(list):
        def __getitem__(self, _: object) -> tuple[int, bytes, dict[str, str]]:  # type: ignore[override]
            calls.append(1)
            return send[0] if len(calls) <= 3 else (402, b"{}", {})

    server.always = Turning(send)
    with pytest.raises(EngineError, match="402"):
        judge(work.task(), "one")
    store = Replies(work.task().work("one", "judging"))
    store.load()
    assert len(store.rows) == 3
    assert all(row["failure"] is None for row in store.rows.values())
    server.always, before = send, len(server.seen)
    spent = judge(work.task(), "one")
    assert (len(server.seen) - before, spent.failures) == (spent.judgments - 3, {})


def test_a_stored_nan_is_unclear_and_not_a_traceback(work: Workspace, server: Server) -> None:
    """What an earlier version stored as success."""
    with answering(server, {"choices": [{"message": {"content": "[[7]]"}}]}):
        judge(work.task(), "one")
    folder = work.task().work("one", "judging")
    for path in folder.glob("[!.]*.parquet"):
        spoilt = pl.read_parquet(path).with_columns(reply=pl.lit("no"), logprobs=pl.lit('[{"m": NaN}]'))
        spoilt.write_parquet(folder / "0123456789abcdef.parquet")  # without a seal, as then
        path.unlink()
    assert judge(work.task(), "one").judgments == 0


def test_a_chunk_with_a_flipped_bit_is_asked_for_again(work: Workspace, server: Server) -> None:
    """Wherever the bit is: some flips load, with another reply or another number."""
    with answering(server, {"choices": [{"message": {"content": "[[7]]"}}]}):
        judge(work.task(), "one")
        folder = work.task().work("one", "judging")
        (chunk,) = folder.glob("[!.]*.parquet")
        whole = chunk.read_bytes()
        for at in range(0, 8 * len(whole), 997):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            chunk.write_bytes(flipped)
            store = Replies(folder)
            store.load()
            assert store.rows == {}, at
        assert judge(work.task(), "one").failures == {}
    assert chunk.with_suffix(".unreadable").exists()
    assert chunk.read_bytes() == whole


def test_grades_of_preferences_are_asked_for_and_kept_alike(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unclear is asked again, credit that runs out keeps what is finished, and a rerun asks for the rest."""
    monkeypatch.setattr(scorers, "CHUNK", 2)
    # One at a time: a request that is cancelled may be heard late, and these are counted.
    given_ = {"kind": "judge", "model": "gpt-4o-mini", "endpoint": server.url, "concurrency": 1}
    settings_ = validate(Judge, given_, "scorer")
    asked = asked_judge("gpt-4o-mini", load_models(Path(__file__).parents[2] / "config"))
    items = [Item(f"a/{i}", ({"role": "user", "content": "Hi"},), f"Ho {i}") for i in range(6)]

    def grade() -> list[Grade]:
        panel = scorers.Panel("try", asked, Judging(), tmp_path, "p/0000", pause=0.001)
        return scorers.JudgeScorer(settings_, panel).grade(items)

    def says(text: str) -> tuple[int, bytes, dict[str, str]]:
        return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode(), {}

    server.always = [says("<think>[[3]]</think> Rating: [[8]]")]
    first = grade()
    assert [g.score for g in first] == [8.0] * 6
    assert {body["model"] for body in server.seen} == {"gpt-4o-mini-2024-07-18"}
    for chunk in sorted((tmp_path / "grades/p/0000").glob("[!.]*.parquet"))[1:]:
        chunk.unlink()
    server.always = [(402, b"{}", {})]
    with pytest.raises(EngineError, match="402"):
        grade()
    server.always, before = [says('It says "[[3]]".')], len(server.seen)
    again = grade()
    assert [g.score for g in again].count(8.0) == 2
    assert {g.failure for g in again} == {None, "no_rating: a verdict stands only in what it quotes"}
    assert len(server.seen) - before == 4 * 3
    assert grade() == again
    assert len(server.seen) - before == 4 * 3


# Who is asked


def test_a_judgment_is_of_who_is_asked_and_not_of_a_row(tmp_path: Path, work: Workspace) -> None:
    models = load_models(work.folder / "config")
    mini = models["gpt-4o-mini"]
    assert asked_judge("gpt-4o-mini", models).name == mini.api == "gpt-4o-mini-2024-07-18"

    def key(**changed: object) -> str:
        row = mini.model_copy(update=changed)
        asked = asked_judge("gpt-4o-mini", {**models, "gpt-4o-mini": row}).identity
        return request_hash(asked, JudgeRequest("q", 0, "judgment", (), "t"), 3, 1)

    renamed = asked_judge("another", {"another": mini}).identity
    assert key() == request_hash(renamed, JudgeRequest("q", 0, "judgment", (), "t"), 3, 1)
    takes = validate(Takes, {"drop": ["seed"]}, "x")
    hub = {"api": None, "hub": "some/model"}
    keys = [key(), key(api="gpt-4o-mini-2025-01-01"), key(endpoint=takes), key(**hub)]
    keys += [key(**hub, revision="a" * 40), key(**hub, revision="b" * 40)]
    assert len(set(keys)) == len(keys)
    assert asked_judge("rubric", models).identity == "rubric"


def test_grades_of_preferences_are_of_who_is_asked_too(root: Path) -> None:
    models = load_models(root / "config")
    scorer = {"kind": "judge", "model": "gpt-4o-mini", "endpoint": "https://u:hunter2@h/v1?token=hunter2"}
    given_ = {"model": "m", "prompts": 2, "scorer": scorer}
    judged = validate(Preference, given_, "p")
    pinned = models["gpt-4o-mini"].model_copy(update={"api": "gpt-4o-mini-2025-01-01"})
    first, second = (grades_of(judged, m) for m in (models, {**models, "gpt-4o-mini": pinned}))
    assert first != second
    assert "hunter2" not in repr(first)
    other = validate(Preference, given_ | {"scorer": {"kind": "rubric"}}, "p")
    assert grades_of(other, models) == identity(other, "grades")


def test_every_judge_at_an_api_has_a_dated_name(root: Path) -> None:
    for row in load_models(root / "config").values():
        if "judge" in row.roles and row.api:
            assert row.api.count("-20") == 1, f"{row.slug}: {row.api} is an alias"


def test_no_secret_of_an_address_is_in_a_resolved_study() -> None:
    secret = "https://user:hunter2@host:8/v1?token=hunter2"
    found = validate(Judging, {"endpoint": secret, "answers": {"compute": {"endpoint": secret}}}, "judging")
    assert found.endpoint == secret  # it is used
    for shown in (found.model_dump_json(), repr(found.model_dump()), repr(found.model_dump(mode="json"))):
        assert "hunter2" not in shown
        assert "https://host:8/v1" in shown
