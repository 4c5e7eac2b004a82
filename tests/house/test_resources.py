"""What each rule asks for, of a real job: at the first and second attempt, on a machine and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from conftest import SITE
from parsed import jobs, rules

pytestmark = pytest.mark.heavy
# Between them these make every rule.
PLANS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("all", "results/paper/home.zip"), {"study": "paper"}),
    ((), {"study": "demo"}),
    ((), {"study": "smoke"}),
    ((), {"study": "released", "win_rates": {"library": True}}),
    ((), {"study": "wildchat50m", "models": "qwen2.5-72b-instruct", "runs": "l8b-q72-250k"}),
    (
        (
            "results/demo/measures/twice/summary.csv",
            "results/demo/measures/distance/summary.csv",
            "results/demo/coverage/map/coverage.svg",
            "results/demo/wordnet",
            "results/demo/judges/means.csv",
        ),
        {
            "study": "demo",
            "coverage": {"map": {"space": "plane", "sets": {"demo": {}}}},
            "measures": {
                "length": {"kind": "length"},
                "judge": {"kind": "factors", "model": "demo-plain"},
                "twice": {"kind": "ratio", "left": "length", "right": "length"},
                "space": {"kind": "embedding"},
                "distance": {"kind": "neighbour", "space": "space"},
                "plane": {"kind": "embedding", "of": "prompts"},
            },
        },
    ),
    (
        ("results/demo/data/data.md", "results/demo/release/release.json"),
        {"study": "demo", "data": {"sets": {"herald": {"responses": "demo-herald"}}}},
    ),
    ((), {"study": "magpie", "runs": "air-100k"}),
    (
        ("results/teachers/teachers/teachers.html", "results/teachers/teachers/before.html"),
        {"study": "teachers", "runs": "q15-gemma-2-2b-it"},
    ),
    (("fetch_math500", "fetch_wildbench_prompts"), {}),
    (("results/downloads/datasets/an/other/0123456789abcdef0123456789fedcba98765432/all/train.parquet",), {}),
]
LONGEST = 7 * 24 * 60  # minutes: of the partition of SITE without GPUs


@pytest.fixture(scope="module", params=["one machine", "cluster"])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Whether there is a site; and a job of each rule, by the rule's name."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "cluster":
            path = tmp_path_factory.mktemp("site") / "site.yaml"
            path.write_text(yaml.safe_dump(SITE, sort_keys=False))
            patch.setenv("REWILD_SITE", str(path))
        found = {job.rule.name: job for targets, config in PLANS for job in jobs(*targets, **config)}
        assert {rule.name for rule in rules()} == set(found), "a rule without a job: add its plan"
        yield request.param == "cluster", found


def asks(job: Any, attempt: int) -> dict[str, Any]:
    job.attempt = attempt
    job.reset_params_and_resources()
    return {key: job.resources.get(key) for key in ("mem_mb", "runtime", "gpu", "gpu_model")}


def test_every_rule_asks_for_memory_and_time_at_both_attempts(planned) -> None:
    on_cluster, found = planned
    with_gpus = 0
    for name in set(found) - {"all"}:
        first, second = asks(found[name], 1), asks(found[name], 2)
        for key in ("mem_mb", "runtime"):
            assert isinstance(first[key], int), (name, first)
            assert 0 < first[key] <= second[key], (name, first, second)
        assert second["runtime"] <= LONGEST, name
        if first["gpu"]:
            with_gpus += 1
            assert first["gpu"] == second["gpu"] <= 8, name
            assert first["gpu_model"] == second["gpu_model"] == ("h100" if on_cluster else None), name
    assert with_gpus > 5 or not on_cluster
