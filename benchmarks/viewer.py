"""How long the viewer takes to build, how large it is, and how soon its page answers in Chromium.

Makes invented conversations of one to four turns with answers of the usual length, builds the viewer, opens
it headless from file:// and takes the times inside the page.

    pip install -r envs/dev.txt             # and Debian's chromium, chromium-driver
    python benchmarks/viewer.py             # 10,000 conversations, 3 models
    python benchmarks/viewer.py --conversations 1000 --models 8 --workers 4
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]

STEP = """
const done = arguments[arguments.length - 1], [ready, act] = arguments;
const test = new Function('return ' + ready), start = performance.now();
new Function(act)();
const wait = () => {
  if (test()) requestAnimationFrame(() => done(performance.now() - start));
  else setTimeout(wait, 2);
};
wait();
"""
IDLE = "document.getElementById('conversation').getAttribute('aria-busy') === 'false'"
COUNT = "document.getElementById('count').textContent"
FOUND = f"{COUNT} && !{COUNT}.includes('searching')"


def key(name: str, element: str = "document.body") -> str:
    """Press a key."""
    code = f"Digit{name}" if name.isdigit() else ""
    event = f"{{key: '{name}', code: '{code}', bubbles: true}}"
    return f"{element}.dispatchEvent(new KeyboardEvent('keydown', {event}))"


def search(text: str) -> str:
    """Type into the search; it waits 200 ms for more."""
    return (
        f"{COUNT} = ''; const q = document.getElementById('q'); q.value = '{text}';"
        "q.dispatchEvent(new Event('input'))"
    )


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    from rewild.report.viewer.build import Inputs, build
    from viewer_browser import Page, Select, start_browser
    from viewer_data import synthetic

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = synthetic(folder, options.conversations, options.models)
        start, used = time.perf_counter(), cpu()
        counts = build(Inputs(files), folder / "out", title="Benchmark", workers=options.workers)
        wall, used = time.perf_counter() - start, cpu() - used
        written = [p for p in (folder / "out").rglob("*") if p.is_file()]
        size = sum(p.stat().st_size for p in written)
        peak = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(", ".join(f"{n:,} {what}" for what, n in counts.items()))
        each = 1000 * used / counts["responses"]
        print(f"build          {wall:8.1f} s, {used:.1f} s of CPU, {each:.2f} ms per response")
        print(f"memory         {peak / 1024:8.0f} MiB in the largest process")
        print(f"size           {size / 2**20:8.1f} MiB in {len(written):,} files")

        browser = start_browser()
        browser.set_script_timeout(300)
        try:
            page = Page(browser, folder / "out").open()  # once before, so that all pages start alike
            page.open()
            paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            print(f"first paint    {page.js(paint) or float('nan'):8.0f} ms")
            page.driver.get("about:blank")
            start = time.perf_counter()
            page.driver.get(page.address)
            page.wait(lambda: page.js(f"return {IDLE} && document.querySelectorAll('.row').length > 0"))
            print(
                f"responses shown{1000 * (time.perf_counter() - start):8.0f} ms after the address was given"
            )
            shown = "document.querySelector('article.b h2').textContent === 'model-2'"
            steps = {
                "next (j)": (IDLE, key("j")),
                "end of the list": (IDLE, key("End", "document.getElementById('list')")),
                "next model (2)": (f"{shown} && {IDLE}", key("2")),
                "find in prompts": (FOUND, search("question 77.0")),
                "find in prompts again": (FOUND, search("question 7778.1")),
                "find in all shown": (FOUND, search("question 7778.2")),
            }
            for what, (ready, act) in steps.items():
                if what == "find in all shown":
                    Select(page("#in")).select_by_value("all")
                    page.settled()
                took = page.driver.execute_async_script(STEP, ready, act)
                print(f"{what:23}{took:8.0f} ms  {page.text('#count') if 'find' in what else ''}".rstrip())
                page.settled()
            print(f"heap           {page.js('return performance.memory.usedJSHeapSize') / 2**20:8.0f} MiB")
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
