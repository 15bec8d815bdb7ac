"""Processes killed at any moment, on threads and on Dask: no value is lost, none is wrong."""

import math
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from chaos import COUNTING, REFINED, SEARCH, Cluster, blocks_begun, run_through_chaos, write_study
from commands import command
from common import same

from simdyn import open_results
from simdyn.api.study import load_study
from simdyn.store import Store
from simdyn.store.audit import audit

pytestmark = pytest.mark.filterwarnings("default")  # of Dask's own


def whole(file: Path, store: Path) -> None:
    """Nothing is damaged or missing, and nothing is left over."""
    found = audit(store, load_study(file))
    assert (found.good, found.findings, found.leftovers) == (found.blocks, (), 0)


THREADS = 2


def runs_kept(file: Path, store: Path) -> int:
    """Runs of the blocks that have left a receipt."""
    if not store.exists():
        return 0
    kept = Store(store, load_study(file))
    there = np.flatnonzero(kept.receipts())
    return sum(kept.blocks[k].cells * len(kept.study.space.methods) for k in there.tolist())


def kill_until_done(file: Path, folder: Path, kills: int, rng: random.Random) -> int:
    """Start, kill at a random moment, start again; returns kills that met a process."""
    met, store = 0, folder / "results" / "killed.zarr"
    counting = {"before": COUNTING, "SIMDYN_BEGUN": str(folder / "begun.txt")}
    for _ in range(kills):
        kept = runs_kept(file, store)
        process = command(
            "run", file, "--threads", THREADS, "--out", folder, cwd=folder, **counting
        )
        try:
            if rng.random() < 0.7:  # from its first moment on disk
                while process.poll() is None and not store.exists():
                    if rng.random() < 0.001:
                        break
                    time.sleep(0.002)
                process.wait(timeout=rng.uniform(0.0, 1.0))
            else:
                process.wait(timeout=rng.uniform(0.0, 4.0))
        except subprocess.TimeoutExpired:
            pass
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            met += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        if store.exists():
            results = open_results(store)  # an unfinished store opens
            assert np.isin(results["status"].values, (0, 1, 2)).all()
            if " runs" in errors:  # all that had a receipt is kept
                assert (f" runs, {kept:,} already done" in errors) == (kept > 0), (kept, errors)
        if process.returncode == 0:
            break
    return met


def finished(file: Path, folder: Path, undisturbed: xr.Dataset, kills: int) -> int:
    """Go on to the end; returns the blocks that were done twice."""
    store = folder / "results" / "killed.zarr"
    begun = blocks_begun(folder / "begun.txt")
    made = load_study(file)
    begun += len(made.blocks) - (int(Store(store, made).receipts().sum()) if store.exists() else 0)
    same(made.run(store), undisturbed)
    whole(file, store)
    # Each thread has one block in hand when it is killed; there is one more than computes.
    twice = begun - len(made.blocks)
    assert 0 <= twice <= (THREADS + 1) * kills
    return twice


def test_threads__killed_and_resumed_equals_undisturbed(
    file: Path, undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    kills = kill_until_done(file, tmp_path, 4, random.Random(1))
    assert kills > 0
    finished(file, tmp_path, undisturbed, kills)


# Studies that solve for a field, and refined ones, with the epochs of their methods.
OTHERS = {"searches": (SEARCH, 400), "refined": (REFINED, 4000)}


def kill_other(folder: Path, kind: str, kills: int, rng: random.Random, share: float) -> int:
    """A study of such a kind killed and resumed; returns kills that met a process."""
    text, epochs = OTHERS[kind]
    file = write_study(folder, int(share * epochs), text=text)
    met = kill_until_done(file, folder, kills, rng)
    finished(file, folder, load_study(file).run(), met)
    return met


@pytest.mark.parametrize("kind", OTHERS)
def test_threads__other_studies_killed_and_resumed_equal_undisturbed(
    kind: str, tmp_path: Path
) -> None:
    assert kill_other(tmp_path, kind, 3, random.Random(5), 0.25) > 0


def test_dask__killed_and_resumed_equals_undisturbed(
    undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    victims = ("worker", "client", "scheduler")
    kills, _ = chaos(tmp_path, 3000, random.Random(3), victims, undisturbed, 0.5, each=1)
    assert sum(kills.values()) > 0


def chaos(
    folder: Path,
    epochs: int,
    rng: random.Random,
    victims: tuple[str, ...],
    undisturbed: xr.Dataset,
    pause: float,
    each: float = math.inf,
) -> tuple[Counter[str], int]:
    """One study through chaos; returns the kills and the blocks that were done twice."""
    file = write_study(folder, epochs)
    cluster = Cluster(folder)
    try:
        kills = run_through_chaos(file, cluster, rng, victims, pause, each)
    finally:
        cluster.stop()
    store = folder / "results" / "killed.zarr"
    same(open_results(store), undisturbed)
    whole(file, store)
    twice = cluster.blocks_begun() - len(Store(store, load_study(file)).blocks)
    # A worker has one block in hand when it is killed; a client or a scheduler that goes may have
    # that of every worker done twice.
    assert 0 <= twice <= kills["worker"] + cluster.workers * (kills["client"] + kills["scheduler"])
    return kills, twice


@pytest.mark.campaign
def test_threads__killed_two_hundred_times_campaign(
    file: Path, undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    rng, kills, stores, twice = random.Random(2), 0, 0, 0
    while kills < 200:
        folder = tmp_path / str(stores)
        folder.mkdir()
        more = kill_until_done(file, folder, 12, rng)
        twice += finished(file, folder, undisturbed, more)
        kills, stores = kills + more, stores + 1
    print(
        f"\n{kills} kills of local runs, {stores} stores, all equal to an undisturbed run; "
        f"blocks done twice: {twice}"
    )


@pytest.mark.campaign
@pytest.mark.parametrize("kind", OTHERS)
def test_threads__other_studies_killed_fifty_times_campaign(kind: str, tmp_path: Path) -> None:
    rng, kills, stores = random.Random(6), 0, 0
    while kills < 50:
        folder = tmp_path / str(stores)
        folder.mkdir()
        kills, stores = kills + kill_other(folder, kind, 8, rng, 1.0), stores + 1
    print(f"\n{kills} kills of {kind}, {stores} stores, all equal to an undisturbed run")


@pytest.mark.campaign
def test_dask__killed_two_hundred_times_campaign(tmp_path: Path) -> None:
    epochs, rng, kills, stores, twice = 20_000, random.Random(4), Counter[str](), 0, 0
    undisturbed = load_study(write_study(tmp_path, epochs)).run()
    wanted = {"worker": 100, "client": 60, "scheduler": 40}
    while left := tuple(name for name, count in wanted.items() if kills[name] < count):
        folder = tmp_path / str(stores)
        folder.mkdir()
        more, again = chaos(folder, epochs, rng, left, undisturbed, 1.5)
        kills, twice, stores = kills + more, twice + again, stores + 1
    print(
        f"\nkills {dict(kills)}, {stores} stores, all equal to an undisturbed run; blocks done "
        f"twice: {twice}"
    )
