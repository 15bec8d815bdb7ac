"""Damage done to a store's files, and what an audit must find of it, told from the files alone."""

import contextlib
import dataclasses
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import files, items
from numcodecs import VLenUTF8, Zstd

META = "zarr.json"
OWN = "simdyn.store"
KINDS = items("root  array  coordinate  receipts  sha256  log  entry  label  value  receipt")


@dataclasses.dataclass(frozen=True)
class Whole:
    """A finished store as it should be."""

    files: dict[str, bytes]
    variables: tuple[str, ...]
    counts: tuple[int, ...]  # blocks along each grid dim, then replicates
    fingerprint: str
    study: str  # the JSON of its physics

    def kind(self, name: str) -> str:
        """What a file of the store is."""
        known = {
            META: "root",
            f"{OWN}/{META}": "log",
            f"{OWN}/log/{META}": "log",
            f"{OWN}/receipts/{META}": "receipts",
            f"{OWN}/receipts/sha256/{META}": "sha256",
        }
        if name in known:
            return known[name]
        if name.startswith(f"{OWN}/"):
            return "entry" if name.startswith(f"{OWN}/log/") else "receipt"
        first, _, rest = name.partition("/")
        if rest == META:
            return "array" if first in self.variables else "coordinate"
        return "value" if first in self.variables else "label"

    def of_kind(self, kind: str) -> list[str]:
        """The files of a kind."""
        return [name for name in self.files if self.kind(name) == kind]

    def block(self, name: str) -> int:
        """The block of a chunk of values, or of a receipt."""
        place = list(map(int, name.partition("/c/")[2].split("/")))
        if self.kind(name) == "receipt":
            return place[0]
        grid = len(self.counts) - 1
        return int(np.ravel_multi_index((*place[:grid], place[grid + 1]), self.counts))

    def holds_texts(self, name: str) -> bool:
        """Is a file a chunk of texts?"""
        meta = f"{name.partition('/c')[0]}/{META}"
        return self.kind(name) == "label" and b"vlen-utf8" in self.files[meta]

    def known(self, path: Path) -> bool:
        """Can a store still be told to be this one's?"""
        for place in (path / META, path / OWN / "receipts" / META):
            with contextlib.suppress(Exception):
                said = json.loads(place.read_bytes())["attributes"]
                fingerprint, study = said["fingerprint"], said["study"]
                texts = isinstance(fingerprint, str) and isinstance(study, str)
                ours = fingerprint == self.fingerprint or study == self.study
                if said["kind"] == "simdyn results" and texts and ours:
                    return True
        return False

    def expected(self, now: dict[str, bytes]) -> "Expected":
        """What must be found of a store whose files are these now."""
        pieces, foreign, leftovers = set(), set(), 0
        folders = {at for name in now for at in _around(name)}
        bad: dict[int, int] = {}
        for name, content in self.files.items():
            kind = self.kind(name)
            if name in folders:
                pieces.add(name)  # a folder in its place
            if now.get(name) == content:
                continue
            if kind in ("value", "receipt"):
                bad[self.block(name)] = bad.get(self.block(name), 0) + (name not in now)
            elif kind == "entry":  # that one is gone cannot be told
                if name in now and not _same_json(content, now[name]):
                    pieces.add(name)
            elif name not in now or not same_meaning(
                kind, content, now[name], self.holds_texts(name)
            ):
                pieces.add(name)
        for name in now.keys() - self.files.keys():
            if name.endswith(".partial"):
                leftovers += 1
            elif not any(at in self.files for at in _around(name)):
                foreign.add(name)
        pieces_of_block = len(self.variables) + 1
        lost = {number for number, gone in bad.items() if gone == pieces_of_block}
        return Expected(pieces | foreign, foreign, set(bad) - lost, lost, leftovers)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What an audit must find."""

    pieces: set[str]  # by name, those not of blocks
    foreign: set[str]
    damaged: set[int]
    lost: set[int]  # blocks of which nothing is left: to be computed, and no damage
    leftovers: int

    @property
    def harmless(self) -> bool:
        return not self.pieces and not self.damaged


def _around(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:k]) for k in range(1, len(parts))]


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def same_meaning(kind: str, one: bytes, other: bytes, texts: bool = False) -> bool:
    """Is the meaning of metadata, or of a chunk of a coordinate, the same?"""
    if kind != "label":
        return _same_json(one, other)
    try:
        mine, theirs = Zstd().decode(one), Zstd().decode(other)
        if texts:  # what follows them no one reads
            return VLenUTF8().decode(mine).tolist() == VLenUTF8().decode(theirs).tolist()
        return bytes(mine) == bytes(theirs)
    except Exception:
        return False


# -- damages: each does something to a store, by way of one of its files -------------------------

Damage = Callable[[Path, str, random.Random, Whole, dict[str, bytes]], None]


def flip(path: Path, name: str, rng: random.Random, *_: object) -> None:
    content = bytearray((path / name).read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    (path / name).write_bytes(bytes(content))


def flip_many(path: Path, name: str, rng: random.Random, *_: object) -> None:
    content = bytearray((path / name).read_bytes())
    step = rng.randint(1, 64)
    for at in range(rng.randrange(min(step, len(content))), len(content), step):
        content[at] ^= 1 << rng.randrange(8)
    (path / name).write_bytes(bytes(content))


def truncate(path: Path, name: str, rng: random.Random, *_: object) -> None:
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: rng.randrange(len(content))])


def empty(path: Path, name: str, *_: object) -> None:
    (path / name).write_bytes(b"")


def zeros(path: Path, name: str, *_: object) -> None:
    (path / name).write_bytes(bytes((path / name).stat().st_size))


def append(path: Path, name: str, rng: random.Random, *_: object) -> None:
    more = rng.choice([b"\0", b"}", rng.randbytes(rng.randint(1, 9)), (path / name).read_bytes()])
    (path / name).write_bytes((path / name).read_bytes() + more)


def delete(path: Path, name: str, *_: object) -> None:
    (path / name).unlink()


def _other(path: Path, name: str, rng: random.Random, whole: Whole, alike: bool) -> str:
    there = [
        other
        for other in files(path)
        if other != name
        and other in whole.files
        and (whole.kind(other) == whole.kind(name)) == alike
    ]
    return rng.choice(there) if there else name


def swap(path: Path, name: str, rng: random.Random, whole: Whole, *_: object) -> None:
    _swap(path, name, _other(path, name, rng, whole, alike=True))


def swap_kinds(path: Path, name: str, rng: random.Random, whole: Whole, *_: object) -> None:
    _swap(path, name, _other(path, name, rng, whole, alike=False))


def _swap(path: Path, one: str, two: str) -> None:
    first, second = (path / one).read_bytes(), (path / two).read_bytes()
    (path / one).write_bytes(second)
    (path / two).write_bytes(first)


def duplicate(path: Path, name: str, rng: random.Random, whole: Whole, *_: object) -> None:
    other = _other(path, name, rng, whole, alike=rng.random() < 0.7)
    (path / name).write_bytes((path / other).read_bytes())


def copied(path: Path, name: str, rng: random.Random, *_: object) -> None:
    """To a name that has no place in a store."""
    ends = ["0", "9", "c/0/0", ".bak", "~", "99/0"]
    target = path / rng.choice(
        [
            f"{name}.bak",
            f"{rng.choice(['status', f'{OWN}/receipts/sha256', 'dimension'])}/c/9",
            f"extra{rng.randrange(9)}/{name}",
            f"{name.partition('/')[0]}-{rng.choice(ends)}",
            f"status/c/{'/'.join(str(rng.randrange(9)) for _ in range(rng.randint(1, 7)))}",
            f"{OWN}/receipts/sha256/c/{rng.choice(['00', '8', '-1', '٣', 'x'])}/0",
        ]
    )
    _put(target, (path / name).read_bytes())


def foreign_folder(path: Path, name: str, rng: random.Random, *_: object) -> None:
    for k in range(rng.randint(1, 4)):
        _put((path / name).parent / "holiday" / str(k) / f"photo\n{k}.jpg", rng.randbytes(9))


def _put(target: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):  # something else may be in the way
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def folder(path: Path, name: str, rng: random.Random, *_: object) -> None:
    """In a file's place."""
    (path / name).unlink()
    _put(path / name / "thesis.tex", rng.randbytes(9))


def file_for_folder(path: Path, name: str, rng: random.Random, *_: object) -> None:
    around = _around(name)
    if around:
        place = path / rng.choice(around)
        shutil.rmtree(place)
        place.write_bytes(rng.randbytes(5))


def folder_deleted(path: Path, name: str, rng: random.Random, *_: object) -> None:
    if around := _around(name):
        shutil.rmtree(path / rng.choice(around))


def partial(path: Path, name: str, rng: random.Random, *_: object) -> None:
    _put((path / name).with_suffix(f".{rng.randbytes(16).hex()}.partial"), rng.randbytes(20))


def stale(
    path: Path, name: str, rng: random.Random, whole: Whole, others: dict[str, bytes]
) -> None:
    """The file of this name from the store of another seed."""
    (path / name).write_bytes(others.get(name, b"{}"))


def reformatted(path: Path, name: str, *_: object) -> None:
    """The same JSON in another order and spacing: no damage."""
    with contextlib.suppress(ValueError):
        said = json.loads((path / name).read_bytes())
        (path / name).write_text(json.dumps(said, sort_keys=True, separators=(",", ": ")))


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        flip,
        flip_many,
        truncate,
        empty,
        zeros,
        append,
        delete,
        swap,
        swap_kinds,
        duplicate,
        copied,
        foreign_folder,
        folder,
        file_for_folder,
        folder_deleted,
        partial,
        stale,
        reformatted,
    )
}
