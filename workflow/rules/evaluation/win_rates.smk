# AlpacaEval 2 win rates from released annotations, beside the published leaderboard.
rule compute_win_rates:
    input:
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        leaderboard=released("alpaca-eval-leaderboard", "leaderboard.csv"),
        weights=released("alpaca-eval-leaderboard", "baseline_gpt4_1106_preview.csv"),
    output:
        rates=report(
            "results/{study}/win_rates/win_rates.csv",
            caption="../../report/win_rates.rst",
            category="Win rates",
            labels={"table": "win rates"},
        ),
        agreement=report(
            "results/{study}/win_rates/agreement.csv",
            caption="../../report/win_rates.rst",
            category="Win rates",
            labels={"table": "agreement with the leaderboard"},
        ),
        md="results/{study}/win_rates/win_rates.md",
        difficulties="results/{study}/win_rates/difficulties.csv",
    log:
        "logs/{study}/compute_win_rates.log",
    benchmark:
        "logs/{study}/compute_win_rates.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compute_win_rates", 1500),
        runtime=minutes("compute_win_rates", 5),
    params:
        out=subpath(output.rates, parent=True),
        code=code("win-rates"),
    message:
        "{wildcards.study}: computing AlpacaEval win rates"
    shell:
        "rewild win-rates {input.annotations:q} --leaderboard {input.leaderboard:q} --weights {input.weights:q}"
        " --out {params.out:q} > {log:q} 2>&1"


# What the win rate of a study's own model needs beside its annotations; the same for every study.
rule recover_length_control:
    input:
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        leaderboard=released("alpaca-eval-leaderboard", "leaderboard.csv"),
        weights=released("alpaca-eval-leaderboard", "baseline_gpt4_1106_preview.csv"),
    output:
        json="results/downloads/derived/length_control.json",
    log:
        "logs/alpaca_eval/recover_length_control.log",
    benchmark:
        "logs/alpaca_eval/recover_length_control.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("recover_length_control", 1500),
        runtime=minutes("recover_length_control", 5),
    params:
        stage=stage("win-rates"),
    message:
        "Recovering AlpacaEval's instruction difficulties from released annotations"
    shell:
        "rewild length-control {input.annotations:q} --leaderboard {input.leaderboard:q} --weights {input.weights:q}"
        " --out {output.json:q} > {log:q} 2>&1"


# The library itself, only where a study asks for it: win_rates: {library: true}.
rule build_alpaca_eval:
    input:
        lock=own("envs/alpaca-eval.txt"),
    output:
        ready=".envs/alpaca-eval/ready",
    log:
        "logs/envs/alpaca-eval.log",
    benchmark:
        "logs/envs/alpaca-eval.benchmark.tsv"
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("build_alpaca_eval", 1000),
        runtime=minutes("build_alpaca_eval", 30),
    params:
        folder=subpath(output.ready, parent=True),
        stage=stage("environments"),
    message:
        "Building the environment of the alpaca_eval library"
    shell:
        "(python -m venv --clear {params.folder:q}"
        " && {params.folder:q}/bin/python -m pip install --disable-pip-version-check -r {input.lock:q}"
        " && touch {output.ready:q}) > {log:q} 2>&1"


rule check_win_rates:
    input:
        ready=".envs/alpaca-eval/ready",
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        rates="results/{study}/win_rates/win_rates.csv",
        difficulties="results/{study}/win_rates/difficulties.csv",
    output:
        library=report(
            "results/{study}/win_rates/library.csv",
            caption="../../report/win_rates_library.rst",
            category="Win rates",
            labels={"table": "the library's"},
        ),
    log:
        "logs/{study}/check_win_rates.log",
    benchmark:
        "logs/{study}/check_win_rates.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("check_win_rates", 2000),
        runtime=minutes("check_win_rates", 10),
    params:
        python=lambda wildcards, input: f"{Path(input.ready).parent}/bin/python",
        code=code("win-rates-by-library"),
    message:
        "{wildcards.study}: computing win rates by the alpaca_eval library"
    shell:
        "{params.python:q} -m rewild win-rates-by-library {input.annotations:q} --rates {input.rates:q}"
        " --difficulties {input.difficulties:q} --out {output.library:q} > {log:q} 2>&1"
