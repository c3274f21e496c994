"""Findings in the formats of other programs."""

import json
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from reciprocam_bench.gate.decide import UNTOLD
from reciprocam_bench.gate.findings import Finding
from reciprocam_bench.titles import file_name

_NOT_IN_XML = {code: " " for code in range(32) if chr(code) not in "\t\n\r"} | {0xFFFE: " ", 0xFFFF: " "}


def junit(findings: Sequence[Finding], strict: bool, seconds: float = 0.0) -> str:
    """JUnit XML: a test case a number; what cannot be told is skipped, unless ``strict`` makes it a failure."""
    failed = sum(f.fails(strict) for f in findings)
    untold = sum(f.verdict == UNTOLD and not f.fails(strict) for f in findings)
    counts = {"tests": str(len(findings)), "failures": str(failed), "errors": "0", "skipped": str(untold)}
    counts |= {"time": f"{seconds:.3f}"}
    root = ElementTree.Element("testsuites", {"name": "rcam-bench check", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "rcam-bench check", **counts})
    for finding in findings:
        group = "rcam-bench.ratios" if finding.pair else "rcam-bench.metrics"
        name, line = _clean(finding.title), _clean(finding.in_words())
        case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": name, "time": "0"})
        if finding.fails(strict):
            ElementTree.SubElement(case, "failure", {"message": line, "type": finding.verdict}).text = line
        elif finding.verdict == UNTOLD:
            ElementTree.SubElement(case, "skipped", {"message": line})
        else:
            ElementTree.SubElement(case, "system-out").text = line
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def github_benchmark(findings: Sequence[Finding]) -> str:
    """``customBiggerIsBetter`` of github-action-benchmark: speed-ups, and the metrics of which more is better.

    The other metrics are left out, as that action would call their improvement a loss.
    """
    return _json([_of_action(f) for f in findings if f.now and f.higher_is_better])


def bencher(findings: Sequence[Finding]) -> str:
    """Bencher Metric Format: a benchmark a number, its measure ``speedup`` or the metric, with the interval's ends."""
    return _json({f.title: {_measure(f): _bounded(f)} for f in findings if f.now})


FORMATS: dict[str, Callable[[Sequence[Finding], bool], str]] = {
    "junit": junit,
    "github-benchmark": lambda findings, strict: github_benchmark(findings),
    "bencher": lambda findings, strict: bencher(findings),
}


def _of_action(finding: Finding) -> dict[str, object]:
    now = finding.now
    assert now is not None
    found: dict[str, object] = {"name": finding.title, "unit": "times" if finding.pair else "%", "value": now.value}
    if now.low is not None and now.high is not None:
        found["range"] = f"{now.low:.6g} to {now.high:.6g}"
    return found | {"extra": finding.in_words()}


def _bounded(finding: Finding) -> dict[str, float]:
    now = finding.now
    assert now is not None
    ends = {"lower_value": now.low, "upper_value": now.high}
    return {"value": now.value, **{name: end for name, end in ends.items() if end is not None}}


def _measure(finding: Finding) -> str:
    return "speedup" if finding.key is None else file_name(finding.key[2])


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _clean(text: str) -> str:
    """Without the characters that no XML may hold."""
    return "".join(c for c in text.translate(_NOT_IN_XML) if not 0xD800 <= ord(c) <= 0xDFFF)
