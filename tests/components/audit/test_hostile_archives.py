"""Archives made to hurt whoever opens them: each is refused, at once and in little memory."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.audit import verify_bundle
from components.audit.import_bundle import public_pem
from tests.small_bundle import (
    RUN,
    blocked,
    judged,
    judged_by_second,
    pack,
    raw_key,
    seal,
    sources,
)

SOUND = seal(blocked())
ENTRIES = sources(blocked())
POLICY = f"runs/{RUN}/policy.yaml"
END = 22
_MEMORY = 32_000_000

Case = tuple[str, Callable[[], bytes], str]


def named(name: str) -> bytes:
    """The bundle with one more entry, whatever its name."""
    return raw_zip([*sorted(ENTRIES.items()), (name, b"x")])


def raw_zip(entries: list[tuple[str, bytes]], **fields: int) -> bytes:
    """An archive in the form of a bundle whose names and order are anybody's.

    ``fields`` replaces what the headers of the last entry say: ``method``, ``flags``, ``clock``,
    ``day``, ``crc``, ``packed``, ``size``, ``extra``, ``made_by``, ``version``, ``outer``,
    ``inner``, ``disk``, ``comment``, ``offset``.
    """
    body, directory = b"", b""
    for i, (name, content) in enumerate(entries):
        chosen = fields if i == len(entries) - 1 else {}
        raw = name.encode("utf-8")
        said = {
            "version": 20, "flags": 0, "method": 0, "clock": 0, "day": 33,
            "crc": zlib.crc32(content), "packed": len(content), "size": len(content),
            "named": len(raw), "extra": 0,
        }  # fmt: skip
        said |= {k: v for k, v in chosen.items() if k in said}
        common = struct.pack("<HHHHHIIIHH", *said.values())
        rest = struct.pack(
            "<HHHII",
            *(chosen.get(k, 0) for k in ("comment", "disk", "inner", "outer")),
            chosen.get("offset", len(body)),
        )
        made_by = struct.pack("<H", chosen.get("made_by", 20))
        extra = bytes(said["extra"])
        directory += b"PK\1\2" + made_by + common + rest + raw + extra
        directory += bytes(chosen.get("comment", 0))
        body += b"PK\3\4" + common + raw + extra + content
    count = len(entries)
    return body + directory + end(count, len(directory), len(body))


def end(count: int, length: int, begin: int, **fields: int) -> bytes:
    """The record that closes an archive."""
    said = {"disk": 0, "first": 0, "here": count, "count": count} | {
        k: v for k, v in fields.items() if k != "comment"
    }
    tail = struct.pack("<IIH", length, begin, fields.get("comment", 0))
    return b"PK\5\6" + struct.pack("<HHHH", *said.values()) + tail


def ended(**fields: int) -> bytes:
    """The bundle with another closing record."""
    _, _, _, count, length, begin, _ = struct.unpack("<HHHHIIH", SOUND[-END + 4 :])
    said = {"count": count, "length": length, "begin": begin}
    said |= {k: v for k, v in fields.items() if k in said}
    rest = {k: v for k, v in fields.items() if k not in said}
    return SOUND[:-END] + end(said["count"], said["length"], said["begin"], **rest)


def by_library(compression: int = zipfile.ZIP_STORED, **attributes: int) -> bytes:
    """The bundle as Python's own zip library would write it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in sorted(ENTRIES.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return stream.getvalue()


def slips() -> Iterator[Case]:
    """Names that lead elsewhere, or look like others."""
    for name in (
        "../evil", "/etc/passwd", "zz/../../evil", "reports/../../evil", "reports/..", "reports/.",
        "reports//evil", "reports/a/b", "reports/.hidden", "C:\\evil", "\\\\host\\share", "zz",
        "reports\\evil", "reports/a\\b", "reports/a:b", "reports/a b", "reports/a\nb",
        "reports/a\0",
        "reports/CON ", "reports/~root", "reports/$HOME", "reports/%2e%2e", "reports/",
        "reports/" + "a" * 101, "reports/" + "a" * 300, "reports/ä", "reports/a\u0308",
        "reports/\u202etxt.exe", "reports/\uff0e\uff0e", "reports/\u2215", "reports/a\u00ad",
        "runs/../keys/evidence.pub", "zeta/evidence.pub", "runs/run-2/evidence/1-ingest.json",
        "runs/run-2/evidence/0001-Ingest.json", "runs/run-2/evidence/0001-ingest.JSON",
        "runs/run-2/predictions.parquet", "runs/run-2/artifacts/model.onnx", "runs/run-2/run.json",
        "runs/run-2/policy.yml", "waivers/000001.json", "waivers/" + "A" * 64 + ".json",
        "releases/clinic/tfx/1.json", "releases/Clinic/tfx/000001.json", "Manifest.json",
        "manifest.json.", "manifest.json/", "MANIFEST.JSON", "runs/run-2/policy.yaml/",
    ):  # fmt: skip
        yield f"name {name!r}", lambda n=name: named(n), "is none that a bundle holds"
    yield "empty name", lambda: named(""), "is none that a bundle holds"


def orders() -> Iterator[Case]:
    """Entries that are there twice, or in another order."""
    listed = sorted(ENTRIES.items())
    for i, (name, content) in enumerate(listed):
        twice = [*listed[: i + 1], (name, content), *listed[i + 1 :]]
        yield f"twice {name}", lambda e=twice: raw_zip(e), f"{name}: it is there twice"
        other = [*listed[: i + 1], (name, b"other"), *listed[i + 1 :]]
        yield f"two of {name}", lambda e=other: raw_zip(e), f"{name}: it is there twice"
        if i:
            swapped = [*listed[: i - 1], listed[i], listed[i - 1], *listed[i + 1 :]]
            wanted = f"{listed[i - 1][0]}: it stands behind {name}"
            yield f"reordered {name}", lambda e=swapped: raw_zip(e), wanted
    cases = [*listed, ("reports/A.html", b"a"), ("reports/a.html", b"a")]
    wanted = "reports/a.html: it differs from another entry in case only"
    yield "two cases of a name", lambda: raw_zip(sorted(cases)), wanted


def headers() -> Iterator[Case]:
    """Headers that say something else than is there, or ask for more than a bundle may."""
    last = sorted(ENTRIES)[-1]
    for field, value, wanted in (
        ("method", 8, "it is compressed"), ("method", 12, "it is compressed"),
        ("method", 93, "it is compressed"), ("size", 1 << 30, "it is compressed"),
        ("packed", 1, "it is compressed"), ("packed", 0xFFFFFFFF, "it is compressed"),
        ("flags", 1, "it has flags"), ("flags", 8, "it has flags"), ("flags", 1 << 11, "flags"),
        ("flags", 1 << 13, "it has flags"), ("version", 45, "another version"),
        ("clock", 1, "it has flags, a time"), ("day", 0, "it has flags, a time"),
        ("crc", 1, "its CRC-32 is not that of its header"), ("extra", 20, "extra fields"),
        ("extra", 0xFFFF, "extra fields"), ("made_by", 0x0314, "another maker"),
        ("outer", 0o120777 << 16, "attributes"), ("outer", 0o100755 << 16, "attributes"),
        ("outer", 0x10, "attributes"), ("inner", 1, "attributes"), ("disk", 1, "a disk"),
        ("comment", 5, "a comment"), ("offset", 0, "it overlaps"), ("offset", 7, "it overlaps"),
        ("offset", 0xFFFFFFFF, "it overlaps another entry or leaves a gap"),
    ):  # fmt: skip
        yield (
            f"{field} {value}",
            lambda f=field, v=value: raw_zip(sorted(ENTRIES.items()), **{f: v}),
            f"{last}: " if wanted == "" else wanted,
        )
    for size in (1 << 31, 0xFFFF_FFFE, 0xFFFF_FFFF):
        both = {"size": size, "packed": size}
        yield (
            f"both sizes {size}",
            lambda b=both: raw_zip(sorted(ENTRIES.items()), **b),
            f"{last}: it has more than 16,000,000 bytes",
        )
        huge = [*((n, c) for n, c in sorted(ENTRIES.items()) if n < "reports"), ("reports/z", b"")]
        yield (
            f"a report of {size} bytes",
            lambda h=huge, b=both: raw_zip(h, **b),
            "reports/z: it is longer than the archive",
        )
    yield (
        "one byte more than there is",
        lambda: raw_zip(sorted(ENTRIES.items()), size=len(ENTRIES[last]) + 1,
                        packed=len(ENTRIES[last]) + 1),
        "bytes lie between",
    )  # fmt: skip
    yield (
        "one local name that differs",
        lambda: SOUND.replace(b"evidence.pub", b"evidence.puB", 1),
        "its local header is not that of the directory",
    )


def ends() -> Iterator[Case]:
    """Bytes before, between and behind, and closing records that lie."""
    yield "prefix", lambda: b"#!/bin/sh\n" + SOUND, "its directory is not where its end says"
    yield "suffix", lambda: SOUND + b"x", "bytes follow its end"
    yield "two archives", lambda: SOUND + SOUND, "its directory is not where its end says"
    yield "a comment", lambda: ended(comment=4) + b"evil", "bytes follow its end"
    for field, value, wanted in (
        ("comment", 1, "it has disks, a comment"), ("disk", 1, "it has disks"),
        ("first", 1, "it has disks"), ("here", 1, "it has disks"), ("count", 0, "it does not have"),
        ("count", 0xFFFF, "it does not have"), ("begin", 0xFFFFFFFF, "its directory is not where"),
        ("length", 0xFFFFFFFF, "its directory is not where"), ("begin", 0, "is not where"),
        ("length", 0, "its directory is not where"),
    ):  # fmt: skip
        yield f"end {field} {value}", lambda f=field, v=value: ended(**{f: v}), wanted
    yield "one entry fewer", lambda: ended(count=3, here=3), "bytes lie between"
    yield "one entry more", lambda: ended(count=15, here=15), "it is not in the directory"
    yield "a gap", gap, "it overlaps another entry or leaves a gap"
    yield "ZIP64", zip64, "its directory is not where its end says"
    yield "nothing in it", lambda: end(0, 0, 0), "it does not have 1 to 4,096 entries"
    many = [(f"reports/{i:05d}", b"") for i in range(4097)]
    yield "too many entries", lambda: raw_zip(many), "it does not have 1 to 4,096 entries"
    for name, compression in (("deflated", zipfile.ZIP_DEFLATED), ("bzip2", zipfile.ZIP_BZIP2)):
        yield name, lambda c=compression: by_library(c), "another maker"
    yield "by another program", by_library, "another maker"
    yield "bomb", bomb, "reports/bomb.html: it is compressed"
    yield "no manifest", lambda: pack(_without("manifest.json")), "manifest.json: it is missing"


def _without(name: str) -> dict[str, bytes]:
    return {n: c for n, c in ENTRIES.items() if n != name}


def gap() -> bytes:
    """A byte between two entries, which the directory knows of."""
    listed = sorted(ENTRIES.items())
    whole = raw_zip(listed)
    at = whole.index(b"PK\3\4", 1)
    begin = whole.index(b"PK\1\2")
    moved = bytearray(whole[:at] + b"x" + whole[at:begin])
    place = begin
    for i, (name, _) in enumerate(listed):
        head = bytearray(whole[place : place + 46 + len(name)])
        offset = struct.unpack("<I", head[42:46])[0] + (1 if i else 0)
        head[42:46] = struct.pack("<I", offset)
        moved += head
        place += 46 + len(name)
    return bytes(moved) + end(len(listed), place - begin, begin + 1)


def zip64() -> bytes:
    """A ZIP64 record and its locator before the end."""
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, 1, 1)
    locator = struct.pack("<IIQI", 0x07064B50, 0, len(SOUND) - END, 1)
    return SOUND[:-END] + record + locator + SOUND[-END:]


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte: what would have to be unpacked to be seen."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 8)) + packer.flush()
    listed = [(n, c) for n, c in sorted(ENTRIES.items()) if n < "reports"]
    return raw_zip([*listed, ("reports/bomb.html", body)], method=8, size=1 << 30)


CASES = [*slips(), *orders(), *headers(), *ends()]


@pytest.mark.parametrize(
    ("made", "wanted"), [pytest.param(m, w, id=f"{i}-{n!r}") for i, (n, m, w) in enumerate(CASES)]
)
def test_a_hostile_archive_is_refused_in_little_memory(
    made: Callable[[], bytes], wanted: str
) -> None:
    raw = made()
    tracemalloc.start()
    code, problems = judged(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (code, wanted in problems) == (1, True), problems
    assert peak < _MEMORY
    assert judged_by_second(raw)[0] == 1


def test_there_are_a_hundred_and_more() -> None:
    assert len(CASES) >= 100


def test_the_archive_that_they_are_made_of_is_sound() -> None:
    assert raw_zip(sorted(ENTRIES.items())) == SOUND == pack(ENTRIES)
    assert judged(SOUND) == (0, "")


@pytest.mark.parametrize("size", [0, 1, 21, 22, 100, 5000, len(SOUND) - 1])
def test_half_a_bundle_is_bad_input(size: int) -> None:
    assert judged(SOUND[:size])[0] == 2
    assert judged_by_second(SOUND[:size])[0] == 2


def test_a_hostile_file_is_refused_under_limits_of_the_kernel(tmp_path: Path) -> None:
    """Half a gigabyte of address space and ten seconds: nothing is unpacked or read at once."""
    path = tmp_path / "bomb.zip"
    path.write_bytes(bomb())
    key = tmp_path / "home.pub"
    key.write_bytes(public_pem(raw_key("home")))
    script = Path(verify_bundle.__file__)

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

    done = subprocess.run(
        [sys.executable, "-I", script, path, "--key", key],
        preexec_fn=limits, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "reports/bomb.html" in done.stdout
