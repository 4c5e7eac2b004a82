"""Exactness: every score equals google's rouge_score and nltk's meteor_score and sentence_bleu to 1e-9."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.measures.similarity import porter, wordnet
from rewild.measures.similarity.pairs import Settings, score_items
from rewild.measures.similarity.porter import stem
from rewild.measures.similarity.tokens import unicode_tokens
from similarity_oracles import MULTILINGUAL, WORDS, Oracle, differences, make_dictionary


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dictionary in WordNet's format."""
    return make_dictionary(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def oracle(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The reference packages on the small dictionary."""
    target = tmp_path_factory.mktemp("nltk_data")
    wordnet.make_nltk_data(tiny, target)
    return Oracle(target)


@pytest.fixture(scope="module")
def real() -> Path:
    """The real WordNet."""
    try:
        place = wordnet.find()
        assert len(wordnet.WordNet(place).synonyms("run")) > 50
        return place
    except DataError:
        pytest.skip("needs WordNet: `apt-get install wordnet-base` or `python -m nltk.downloader wordnet`")


@pytest.fixture(scope="module")
def real_oracle(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The reference packages on the real WordNet."""
    target = tmp_path_factory.mktemp("real_nltk_data")
    wordnet.make_nltk_data(real, target)
    return Oracle(target)


@pytest.mark.parametrize("texts", MULTILINGUAL, ids=["english", "code", "scripts", "case", "short"])
def test_hard_texts(texts: list[str], tiny: Path, oracle: Oracle) -> None:
    (found,) = score_items([texts], Settings(tiny))
    assert differences(found, texts, oracle) == []


@pytest.mark.heavy
def test_hard_texts_together_with_the_real_wordnet(real: Path, real_oracle: Oracle) -> None:
    texts = [t for part in MULTILINGUAL for t in part]
    (found,) = score_items([texts], Settings(real))
    assert differences(found, texts, real_oracle) == []


def test_the_hard_texts_reach_all_three_stages(tiny: Path) -> None:
    """The comparison above would prove little if no word were matched by stem or by synonym."""
    (with_synonyms,) = score_items([MULTILINGUAL[0]], Settings(tiny))
    (without,) = score_items([MULTILINGUAL[0]], Settings(None))
    assert (with_synonyms["meteor"] > without["meteor_nosyn"]).sum() >= 4
    assert "meteor" not in without


SENTENCES = st.lists(
    st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.sampled_from(
                ["used", "uses", "using", "runs", "running", "nicely", "men", "went", "Car", "BIG,"]
            ),
            st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6),
        ),
        max_size=25,
    ).map(" ".join),
    min_size=2,
    max_size=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=SENTENCES)
def test_any_text(texts: list[str], tiny: Path, oracle: Oracle) -> None:
    (found,) = score_items([texts], Settings(tiny))
    assert differences(found, texts, oracle) == []


@pytest.mark.heavy
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_synonyms_that_compete(seed: int, tiny: Path, oracle: Oracle) -> None:
    """Long texts of few words: many tokens want the same few synonyms, and order decides."""
    chance = random.Random(seed)
    words = [*WORDS, "used", "uses", "runs", "running"]
    texts = [" ".join(chance.choices(words, k=chance.randint(20, 60))) for _ in range(3)]
    (found,) = score_items([texts], Settings(tiny))
    assert differences(found, texts, oracle) == []


@pytest.mark.mirror
def test_real_responses(mirror: Path, real: Path, real_oracle: Oracle) -> None:
    """Texts of real models to AlpacaEval prompts and, in many languages, WildBench tasks."""
    chance = random.Random(50)
    folders = sorted(mirror.glob("tatsu-lab/alpaca_eval/*/results/*/model_outputs.json"))
    outputs = [json.loads(p.read_text("utf-8")) for p in chance.sample(folders, 3)]
    items = [[o[i]["output"][:1200] for o in outputs] for i in chance.sample(range(800), 14)]
    files = sorted(mirror.glob("allenai/WildBench/*/eval_results/*/score.v2/*/*.json"))
    answers = [
        {x["session_id"]: x["model_output"] for x in json.loads(p.read_text("utf-8"))} for p in files[:3]
    ]
    both = sorted(set.intersection(*(set(a) for a in answers)))
    by_script = sorted(both, key=lambda s: sum(c.isascii() for c in answers[0][s]) / (len(answers[0][s]) + 1))
    for session in [*by_script[:8], *chance.sample(by_script, 6)]:  # few are not in English: those first
        items.append([a[session][:1200] for a in answers])
    found = score_items(items, Settings(real))
    wrong = [
        line for texts, f in zip(items, found, strict=True) for line in differences(f, texts, real_oracle)
    ]
    assert wrong == []


def test_meteor_weighs_recall(tiny: Path) -> None:
    """A short hypothesis inside a long reference scores less than the reverse: recall has weight 0.9."""
    short, long = "one two three four", "one two three four five six seven eight"
    (found,) = score_items([[short, long]], Settings(tiny))
    # 4 matches in 1 chunk: penalty 0.5 (1/4)^3. Short against long: P = 1, R = 0.5; and the reverse.
    keep = 1 - 0.5 / 64
    assert found["meteor"][0, 1] == pytest.approx(keep * 0.5 / (0.9 * 1 + 0.1 * 0.5), abs=1e-12)
    assert found["meteor"][1, 0] == pytest.approx(keep * 0.5 / (0.9 * 0.5 + 0.1 * 1), abs=1e-12)


@pytest.mark.heavy
def test_porter_equals_nltk() -> None:
    from nltk.stem.porter import PorterStemmer

    theirs = PorterStemmer()
    chance = random.Random(7)
    rules = (porter._STEP2, porter._STEP3, porter._STEP4)
    suffixes = [suffix for table in rules for found in table.values() for suffix, _ in found]
    suffixes += ["ed", "ing", "eed", "ied", "ies", "sses", "s", "y", "e", "ll", "ly", "*d"]
    letters = "aeiouylstbcdzwx*É1ΣİK-"
    for _ in range(60_000):
        word = "".join(chance.choices(letters, k=chance.randint(0, 6)))
        word += "".join(chance.choices(suffixes, k=chance.randint(0, 3)))
        word = word.upper() if chance.random() < 0.1 else word
        assert stem(word) == theirs.stem(word), word


@settings(max_examples=500, deadline=None)
@given(word=st.text(max_size=12))
def test_porter_equals_nltk_on_any_text(word: str) -> None:
    from nltk.stem.porter import PorterStemmer

    assert stem(word) == PorterStemmer().stem(word)


def test_synonyms_equal_nltk(real: Path, real_oracle: Oracle) -> None:
    ours = wordnet.WordNet(real)
    chance = random.Random(3)
    lemmas = sorted(real_oracle.wordnet.all_lemma_names())
    words = [
        *chance.sample(lemmas, 3000),
        "ran",
        "men",
        "axes",
        "us",
        "as",
        "IT",
        "better",
        "İ",
        "",
        "s",
        "es",
        "ing",
    ]
    words += [
        w + s
        for w in chance.sample(lemmas, 2000)
        for s in chance.sample(["s", "es", "ed", "ing", "er", "est"], 1)
    ]
    found = 0
    for word in words:
        expected = {
            lemma.name()
            for synset in real_oracle.wordnet.synsets(word)
            for lemma in synset.lemmas()
            if "_" not in lemma.name()
        }
        assert ours.synonyms(word) == expected, word
        found += bool(expected)
    assert found > 2500


def test_wordnet_from_a_zip_file(tiny: Path, tmp_path: Path) -> None:
    """nltk's downloader leaves the zip file as it came."""
    import shutil

    (tmp_path / "files").mkdir()
    shutil.copytree(tiny, tmp_path / "files/wordnet")
    archive = Path(shutil.make_archive(str(tmp_path / "wordnet"), "zip", tmp_path / "files"))
    assert wordnet.WordNet(archive).synonyms("auto") == {"car", "auto", "machin", "rid"}
    assert wordnet.WordNet(archive).synonyms("autos") == wordnet.WordNet(tiny).synonyms("auto")
    assert wordnet.fingerprint(archive) == wordnet.fingerprint(tiny)


def test_wordnet_missing_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"nltk.downloader wordnet") as error:
        wordnet.find(tmp_path / "nowhere")
    assert "meteor_nosyn" in str(error.value)
    monkeypatch.setattr(wordnet, "candidates", lambda: [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(DataError, match=r"looked in .*a, .*b"):
        wordnet.find()


def test_wordnet_damaged(tiny: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny, tmp_path / "w")
    (tmp_path / "w/verb.exc").unlink()
    with pytest.raises(DataError, match=r"not a complete WordNet.*verb.exc"):
        wordnet.WordNet(tmp_path / "w")
    shutil.copy(tiny / "verb.exc", tmp_path / "w")
    data = (tmp_path / "w/data.noun").read_bytes()
    (tmp_path / "w/data.noun").write_bytes(data[:60] + data[70:])
    with pytest.raises(DataError, match=r"data.noun: no synset at offset .* damaged"):
        wordnet.WordNet(tmp_path / "w").synonyms("car")


def test_unicode_tokens() -> None:
    assert unicode_tokens("Don't re-read it, café n°5_x") == [
        "Don",
        "t",
        "re",
        "read",
        "it",
        "café",
        "n",
        "5",
        "x",
    ]
    assert unicode_tokens("今天很好 ok") == ["今", "天", "很", "好", "ok"]
    assert unicode_tokens("आज मौसम अच्छा है") == ["आज", "मौसम", "अच्छा", "है"]  # vowel signs stay on their words
    assert unicode_tokens("می‌خواهم") == ["می‌خواهم"]  # a joiner inside a Persian word
    assert unicode_tokens("เกม") == ["เ", "ก", "ม"]
    assert unicode_tokens("한국어 문장") == ["한국어", "문장"]
    assert unicode_tokens("") == []
    text = "The quick, brown fox: 3 times!"
    assert [t.lower() for t in unicode_tokens(text)] == re.findall(r"[a-z0-9]+", text.lower())


def test_unicode_scores_see_what_parity_cannot(tiny: Path) -> None:
    texts = ["今天天气很好", "今天天气不好", "Погода хорошая сегодня", "Погода хорошая завтра"]
    (found,) = score_items([texts], Settings(tiny, ("parity", "unicode")))
    assert found["rouge1"][0, 1] == 0
    assert found["rouge1_unicode"][0, 1] == pytest.approx(2 * 5 / 12)
    assert found["rougeL_unicode"][0, 1] == pytest.approx(2 * 5 / 12)
    assert found["rouge1_unicode"][2, 3] == pytest.approx(2 / 3)
    assert found["seen_rouge"][0, 1] == 0
    assert found["seen_words"][0, 1] == pytest.approx(2 / 12)  # one white-space word each, six letters each
    assert found["seen_words"][2, 3] == 1


def test_unicode_equals_parity_on_plain_ascii(tiny: Path) -> None:
    texts = ["The car went to the bank", "a man bought two cars", "houses and houses"]
    (found,) = score_items([texts], Settings(tiny, ("parity", "unicode")))
    for name in ("rouge1", "rouge2", "rougeL", "meteor", "bleu"):
        np.testing.assert_array_equal(found[name], found[f"{name}_unicode"])
    assert (found["seen_rouge"] == 1).all()


def test_shares_seen_without_words(tiny: Path) -> None:
    (found,) = score_items([["", "?!", "a"]], Settings(tiny))
    assert np.isnan(found["seen_rouge"][0, 1])
    assert found["seen_rouge"][0, 2] == 1


def test_processes_and_company_do_not_change_a_score(tiny: Path) -> None:
    items = [MULTILINGUAL[i] for i in (0, 3, 4, 1, 2)]
    settings_ = Settings(tiny, ("parity", "unicode"))
    together = score_items(items, settings_)
    for other in (
        score_items(items, settings_, processes=2),
        [score_items([i], settings_)[0] for i in items],
    ):
        for a, b in zip(together, other, strict=True):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])


def test_many_texts_and_small_memory(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays are worked through in parts when they are large; the parts change nothing."""
    from rewild.measures.similarity import meteor, metrics

    chance = random.Random(1)
    texts = [" ".join(chance.choices([*WORDS, "used", "uses", "runs"], k=40)) for _ in range(9)]
    (whole,) = score_items([texts], Settings(tiny))
    monkeypatch.setattr(meteor, "_CELLS", 50)
    monkeypatch.setattr(metrics, "_CHUNK", 1)
    (parts,) = score_items([texts], Settings(tiny))
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name])
