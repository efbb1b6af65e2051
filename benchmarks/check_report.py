"""What the runs of the check benchmark come to: medians with spread, ratios, targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

COMMAND, WORK = "assay-command", "assay"
FASTER, MEMORY_MB = 10, 1000
"""The targets: times faster than TFDV and than Evidently, and megabytes of `assay check`."""

_RIVALS = {"TFDV": "tfdv-", "Evidently (pinned)": "evidently"}
_Runs = Sequence[dict[str, Any]]


def summarise(runs: _Runs) -> dict[str, Any]:
    """Figures by temperature and peer, and the targets, judged on warm runs.

    A ratio is taken within each round and is of the whole process (against the installed
    command) or of the work alone, without imports.
    """
    by_temperature = {}
    for temperature in dict.fromkeys(r["temperature"] for r in runs):
        chosen = [r for r in runs if r["temperature"] == temperature]
        by_temperature[temperature] = {
            peer: _of_peer(peer, chosen) for peer in dict.fromkeys(r["peer"] for r in chosen)
        }
    return {"by_temperature": by_temperature, "targets": _targets(by_temperature["warm"])}


def _of_peer(peer: str, runs: _Runs) -> dict[str, Any]:
    mine = [r for r in runs if r["peer"] == peer]
    figures: dict[str, Any] = {
        "runs": len(mine),
        "seconds": _spread(r["seconds"] for r in mine),
        "cpu_seconds": _spread(r["cpu_seconds"] for r in mine),
        "peak_mb": max(r["peak_mb"] for r in mine),
        "read_mb": _spread(r["read_mb"] for r in mine),
        "others_cores": _spread(r["others_cores"] for r in mine),
        "ratio_whole": _ratios(mine, runs, COMMAND, "seconds"),
    }
    if mine[0]["work_seconds"] is not None:
        figures["import_seconds"] = _spread(r["import_seconds"] for r in mine)
        figures["work_seconds"] = _spread(r["work_seconds"] for r in mine)
        figures["ratio_work"] = _ratios(mine, runs, WORK, "work_seconds")
    return figures


def _ratios(mine: _Runs, runs: _Runs, base: str, key: str) -> dict[str, float]:
    of_base = {r["round"]: r[key] for r in runs if r["peer"] == base}
    return _spread(r[key] / of_base[r["round"]] for r in mine)


def _spread(numbers: Iterable[float]) -> dict[str, float]:
    found = list(numbers)
    return {
        "median": round(median(found), 4),
        "min": round(min(found), 4),
        "max": round(max(found), 4),
    }


def _targets(warm: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target, the figure, and whether the median reaches it; a tool counts at its best."""
    targets = []
    for rival, prefix in _RIVALS.items():
        settings = [p for p in warm if p == prefix or prefix[-1] == "-" and p.startswith(prefix)]
        for ratio, what in (("ratio_whole", "whole process"), ("ratio_work", "work alone")):
            best = min(settings, key=lambda p: warm[p][ratio]["median"])
            figure = warm[best][ratio]
            targets.append(
                {
                    "target": f"at least {FASTER} times faster than {rival}, {what}",
                    "setting": best,
                    "figure": figure,
                    "met": figure["median"] >= FASTER,
                }
            )
    peak = warm[COMMAND]["peak_mb"]
    targets.append(
        {
            "target": f"assay check under {MEMORY_MB} MB",
            "setting": COMMAND,
            "figure": {"median": peak, "min": peak, "max": peak},
            "met": peak < MEMORY_MB,
        }
    )
    return targets


def as_table(result: dict[str, Any]) -> str:
    """The result for people."""
    machine = result["machine"]
    lines = [
        f"assay check, {result['rows']:,} rows x {result['columns']} columns against a baseline "
        f"of as many; {machine['cores']} cores, Python {machine['python']}",
        "seconds and ratios: median [min, max]; a ratio above 1 means that assay is the faster",
    ]
    for temperature, peers in result["summary"]["by_temperature"].items():
        heading = ("", "runs", "whole process, s", "work alone, s", "ratio whole", "ratio work",
                   "peak MB", "others' cores")  # fmt: skip
        rows = [heading, *(_row(name, p) for name, p in peers.items())]
        widths = [max(len(r[i]) for r in rows) for i in range(len(heading))]
        lines += ["", f"{temperature} files"]
        lines += [
            "  ".join([r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])]).rstrip()
            for r in rows
        ]
    lines.append("")
    for target in result["summary"]["targets"]:
        met = "yes" if target["met"] else "NO"
        lines.append(f"{met:<4}{target['target']}: {_text(target['figure'])} ({target['setting']})")
    lines += [f"run once: {name}, {why}" for name, why in result["fewer_rounds"].items()]
    return "\n".join(lines)


def _row(name: str, peer: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        str(peer["runs"]),
        _text(peer["seconds"]),
        _text(peer.get("work_seconds")),
        _text(peer["ratio_whole"]),
        _text(peer.get("ratio_work")),
        f"{peer['peak_mb']:.0f}",
        f"{peer['others_cores']['median']:.2f}",
    )


def _text(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "–"
    if spread["min"] == spread["max"]:
        return f"{spread['median']:.3g}" if spread["median"] < 1000 else f"{spread['median']:.0f}"
    return f"{spread['median']:.2f} [{spread['min']:.2f}, {spread['max']:.2f}]"
