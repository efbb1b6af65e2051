"""What the runs of the release benchmark come to: medians with spread, ratios, targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

REFEREE = "referee"
SECONDS, MEMORY_MB, SLOWDOWN = 3, 1000, 11
"""The targets: wall-clock and peak of the referee's process, and how much longer ten times the
rows may take."""

_Runs = Sequence[dict[str, Any]]


def summarise(runs: _Runs, rows: int, large: int, peer_rows: int) -> dict[str, Any]:
    """Figures by peer and number of rows, how peers compare, and the targets.

    A ratio is taken within each round, so that a busy spell of the machine meets both sides.
    """
    kinds = dict.fromkeys((r["peer"], r["rows"]) for r in runs)
    by_peer = [_of_peer([r for r in runs if (r["peer"], r["rows"]) == kind]) for kind in kinds]
    peers = [
        {
            "peer": name,
            **{
                f"ratio_{key}": _ratios(runs, (name, peer_rows), (REFEREE, peer_rows), key)
                for key in ("seconds", "work_seconds", "cpu_seconds")
            },
        }
        for name, _ in kinds
        if name != REFEREE
    ]
    return {
        "by_peer": by_peer,
        "peers": peers,
        "targets": _targets(runs, by_peer, peers, rows, large),
    }


def _of_peer(mine: _Runs) -> dict[str, Any]:
    spreads = ("seconds", "cpu_seconds", "import_seconds", "work_seconds", "others_cores")
    return {
        "peer": mine[0]["peer"],
        "rows": mine[0]["rows"],
        "runs": len(mine),
        **{key: spread(r[key] for r in mine) for key in spreads},
        "peak_mb": max(r["peak_mb"] for r in mine),
        "figures": mine[0]["figures"],
        "intervals": mine[0]["intervals"],
        "furthest_from_referee": max(r["furthest_from_referee"] for r in mine),
    }


def _ratios(
    runs: _Runs, mine: tuple[str, int], base: tuple[str, int], key: str
) -> dict[str, float]:
    of_base = {r["round"]: r[key] for r in runs if (r["peer"], r["rows"]) == base}
    return spread(r[key] / of_base[r["round"]] for r in runs if (r["peer"], r["rows"]) == mine)


def spread(numbers: Iterable[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    found = list(numbers)
    return {
        "median": round(median(found), 4),
        "min": round(min(found), 4),
        "max": round(max(found), 4),
    }


def _targets(
    runs: _Runs, by_peer: _Runs, peers: _Runs, rows: int, large: int
) -> list[dict[str, Any]]:
    """Each target, the figure, and whether the median reaches it; a lost comparison is not met."""
    own = {p["rows"]: p for p in by_peer if p["peer"] == REFEREE}
    peak = own[rows]["peak_mb"]
    targets: list[tuple[str, dict[str, float], bool]] = [
        (
            f"referee of {rows:,} predictions under {SECONDS} s, whole process",
            own[rows]["seconds"],
            own[rows]["seconds"]["median"] < SECONDS,
        ),
        (
            f"referee of {rows:,} predictions under {MEMORY_MB} MB",
            {"median": peak, "min": peak, "max": peak},
            peak < MEMORY_MB,
        ),
    ]
    for key, what in (("seconds", "whole process"), ("work_seconds", "work alone")):
        slower = _ratios(runs, (REFEREE, large), (REFEREE, rows), key)
        limit = SLOWDOWN * large / rows / 10
        told = f"{large:,} predictions take at most {limit:g} times as long, {what}"
        targets.append((told, slower, slower["median"] <= limit))
    for peer in peers:
        ratio = peer["ratio_seconds"]
        told = f"faster than {peer['peer']} on the same rows, whole process"
        targets.append((told, ratio, ratio["median"] > 1))
    return [{"target": t, "figure": f, "met": met} for t, f, met in targets]


def as_table(result: dict[str, Any]) -> str:
    """The result for people."""
    machine, summary = result["machine"], result["summary"]
    heading = ("", "rows", "runs", "whole process, s", "work alone, s", "CPU, s", "peak MB",
               "figures", "intervals", "others' cores")  # fmt: skip
    rows = [heading, *(_row(p) for p in summary["by_peer"])]
    widths = [max(len(r[i]) for r in rows) for i in range(len(heading))]
    lines = [
        f"referee of the release gate, three protected columns of {result['groups']} groups; "
        f"{machine['cores']} cores, Python {machine['python']}; "
        f"fairlearn with {result['bootstraps']} bootstrap samples",
        "seconds and ratios: median [min, max]",
        "",
        *(
            "  ".join([r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])]).rstrip()
            for r in rows
        ),
        "",
    ]
    for target in summary["targets"]:
        met = "yes" if target["met"] else "NO"
        lines.append(f"{met:<4}{target['target']}: {_text(target['figure'])}")
    return "\n".join(lines)


def _row(peer: dict[str, Any]) -> tuple[str, ...]:
    return (
        peer["peer"],
        f"{peer['rows']:,}",
        str(peer["runs"]),
        _text(peer["seconds"]),
        _text(peer["work_seconds"]),
        _text(peer["cpu_seconds"]),
        f"{peer['peak_mb']:.0f}",
        str(peer["figures"]),
        str(peer["intervals"]),
        f"{peer['others_cores']['median']:.2f}",
    )


def _text(of: dict[str, float]) -> str:
    if of["min"] == of["max"]:
        return f"{of['median']:.2f}"
    return f"{of['median']:.2f} [{of['min']:.2f}, {of['max']:.2f}]"
