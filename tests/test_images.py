"""Images: loading, cutting, splits, noise, training against weight space, and bad input."""

import re
from pathlib import Path

import naive
import numpy as np
import pytest
from scipy import stats

import simdyn
from simdyn import plot
from simdyn.base.inputs import InputError
from simdyn.engine import image_files as images
from simdyn.engine.arguments import Wanted
from simdyn.engine.explicit_runs import run_explicit
from simdyn.engine.image_problems import make_problem
from simdyn.engine.weights import initial_weights
from simdyn.params import ImageData, Trajectories

NET = simdyn.TwoLayerCNN(n_filters=3, init_std=0.05)


def digits(**changes: object) -> ImageData:
    return ImageData(**{"n_samples": 12, "noise_std": 0.5, "test_samples": 40, **changes})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Thirty images of 4 × 6 pixels and two channels, in three classes."""
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    np.savez(
        path,
        x=rng.random((30, 4, 6, 2)),
        y=np.arange(30) % 3,
        flat=rng.random((30, 24)),
        short=np.arange(29),
        names=np.array(["a"] * 30),
        bad=np.where(np.arange(720).reshape(30, 4, 6) == 100, np.nan, 1.0),
        same=np.ones((30, 4, 6)),
        first=rng.random((30, 3, 8, 10)),
    )
    return path


def mine(path: Path, **changes: object) -> ImageData:
    fields = {
        "n_samples": 6,
        "source": str(path),
        "images": "x",
        "labels": "y",
        "positive": 0,
        "negative": 2,
        "patch_size": 2,
    }
    return ImageData(**{**fields, **changes})


def patches_of(problem: simdyn.Problem) -> np.ndarray:
    """The training patches (n, P, d) of an explicit problem, in the table's order."""
    table, n = problem.arrays.table, problem.arrays.labels.size
    samples = []
    for i in range(n):
        own = []
        for e in range(table.start[i], table.start[i + 1]):
            p = table.patch[e]
            own += [table.sign[p] * problem.vectors[table.row[p]]] * int(table.multiplicity[e])
        samples.append(own)
    most = max(map(len, samples))
    d = problem.vectors.shape[1]
    return np.array([own + [np.zeros(d)] * (most - len(own)) for own in samples])


# -- cutting and splitting -----------------------------------------------------------------------


def test_cut__patches_row_by_row() -> None:
    image = np.arange(2 * 4 * 6 * 3, dtype=float).reshape(2, 4, 6, 3)
    patches = images.cut(image, 2)
    assert patches.shape == (2, 6, 12)
    assert np.array_equal(patches[1, 4], image[1, 2:4, 2:4].ravel())
    assert np.array_equal(images.cut(image[:, :4, :4], 4)[0, 0], image[0, :4, :4].ravel())


def test_make_problem__images_are_centred_and_scaled_and_noise_is_drawn() -> None:
    data = digits(n_samples=100, signal_norm=3.0, noise_patches=2, noise_std=0.7)
    x = patches_of(make_problem(data, NET))
    assert x.shape == (100, 3, 64)
    assert np.abs(x[:, 0].mean(axis=0)).max() < 1e-12
    assert np.sqrt((x[:, 0] ** 2).sum(axis=1).mean()) == pytest.approx(3.0)
    assert np.array_equal(x[:, 1], x[:, 2])
    squares = (x[:, 1] ** 2).sum() / 0.49  # χ² of 6400 degrees of freedom
    assert abs(stats.norm.ppf(stats.chi2.cdf(squares, 6400))) < 4.0


def test_make_problem__splits_are_disjoint_and_balanced() -> None:
    data = ImageData(n_samples=100, noise_patches=0)
    for replicate in range(3):
        problem = make_problem(data, NET, seed=1, replicate=replicate)
        assert problem.arrays.labels.sum() == 0.0
        labels = problem.test_set.labels
        assert (int((labels > 0).sum()), int((labels < 0).sum())) == (133, 124)  # 183 and 174
        # A test image that is a training image v would have ⟨t, v⟩ = ‖v‖², up to the sign of both.
        norms = (problem.vectors**2).sum(axis=1)
        assert np.abs(np.abs(problem.test_set.cross) / norms - 1.0).min() > 1e-9


def test_make_problem__replicates_are_new_splits_and_repeat() -> None:
    one, again, other = (make_problem(digits(), NET, 2, k) for k in (0, 0, 1))
    assert np.array_equal(one.vectors, again.vectors)
    assert np.array_equal(one.weights, again.weights)
    assert not np.array_equal(one.vectors, other.vectors)
    assert not np.array_equal(one.weights, other.weights)


def test_make_problem__noise_and_flips_are_shared_by_levels() -> None:
    """Paired over noise level, label flips and more samples."""
    quiet, loud = (patches_of(make_problem(digits(noise_std=s), NET)) for s in (0.5, 1.0))
    assert np.array_equal(2.0 * quiet[:, 1], loud[:, 1])
    assert np.array_equal(quiet[:, 0], loud[:, 0])
    few, some, many = (
        make_problem(digits(n_samples=100, label_flip=p), NET).arrays.labels
        for p in (0.0, 0.1, 0.4)
    )
    assert set(np.flatnonzero(few != some)) < set(np.flatnonzero(few != many))
    flipped = (few != many).sum()
    assert abs(flipped - 40) < 4.0 * np.sqrt(100 * 0.24)
    small, large = (patches_of(make_problem(digits(n_samples=n), NET)) for n in (10, 14))
    assert np.array_equal(small[:, 1], large[:10, 1])


def test_initial_weights__gaussian_and_uniform() -> None:
    for init, limit, kurtosis in (("gaussian", np.inf, 0.0), ("uniform", 3**0.5 * 0.2, -1.2)):
        net = simdyn.TwoLayerCNN(n_filters=50, init_std=0.2, init=init)
        w = initial_weights(net, 400, seed=3)
        assert w.shape == (2, 50, 400)
        assert np.abs(w).max() <= limit
        entries = w.size
        assert abs(w.mean()) < 4.0 * 0.2 / np.sqrt(entries)
        assert w.std() == pytest.approx(0.2, rel=4.0 / np.sqrt(2 * entries))
        assert abs(stats.kurtosis(w.ravel()) - kurtosis) < 4.0 * np.sqrt(24.0 / entries)
        wider = initial_weights(net.replace(n_filters=60), 400, seed=3)
        assert np.array_equal(wider[:, :50], w)


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch_size", [2, 4, 8])
@pytest.mark.parametrize("init", ["gaussian", "uniform"])
def test_simulate__trains_and_tests_as_weight_space_does(patch_size: int, init: str) -> None:
    data = digits(patch_size=patch_size, label_flip=0.2, noise_patches=2)
    net = NET.replace(init=init)
    phases = [
        {"radius": 0.1, "learning_rate": 0.2, "epochs": 50, "batch_size": None},
        {"radius": 0.0, "learning_rate": 0.2, "epochs": 50, "batch_size": None},
    ]
    plan = [
        simdyn.SAM(radius=0.1, learning_rate=0.2, epochs=50),
        simdyn.SGD(learning_rate=0.2, epochs=50),
    ]
    record = simdyn.Record(every=1, variables=("margin", "test_error", "test_error_low"))
    ds = simdyn.simulate(data, net, plan, seed=4, replicates=2, record=record).isel(replicate=1)
    problem = make_problem(data, net, 4, 1)
    x, y = patches_of(problem), problem.arrays.labels
    path = [problem.weights, *naive.train(problem.weights, x, y, phases)[0]]
    margins = np.array([y * naive.outputs(w, x) for w in path])
    assert np.abs(ds.margin.values - margins).max() < 1e-10 * np.abs(margins).max()
    # Of 40 test samples; the next test counts them from the images themselves.
    assert ds.test_error.values[-1] * 40 == pytest.approx(round(ds.test_error.values[-1] * 40))
    assert 0.0 <= ds.test_error_low.values[-1] <= ds.test_error.values[-1]


def test_simulate__test_error_on_images_put_together_by_hand() -> None:
    data = digits(noise_patches=0, label_flip=0.0, n_samples=20, test_samples=None)
    plan = simdyn.SGD(learning_rate=0.5, epochs=30)
    ds = simdyn.simulate(data, NET, plan, record=simdyn.Record(every=30)).isel(replicate=0)
    problem = make_problem(data, NET)
    trained = simdyn.train(problem, plan, record=simdyn.Record(every=30, weights=True))
    weights = trained.weights.isel(step=-1).values
    everyone = images.load(data).images
    up, down = (images.cut(everyone[own], 8) for own in images.members(data))
    train = patches_of(problem)[:, 0]
    everything = np.concatenate([up, down])[:, 0]
    truth = np.repeat([1.0, -1.0], [len(up), len(down)])
    # Which images were trained on: undo the scale by matching differences.
    scale = np.linalg.norm(train[0] - train[2]) / _nearest_gap(everything, train)
    centre = _centre(everything, train, scale)
    moved = scale * (everything - centre)
    seen = np.array([np.abs(train - image).max(axis=1).min() < 1e-9 for image in moved])
    assert seen.sum() == 20
    f = naive.outputs(weights, moved[~seen][:, None])
    error = np.mean(truth[~seen] * f < 0.0) + 0.5 * np.mean(f == 0.0)  # 0: no filter is active
    assert error == pytest.approx(float(ds.test_error[-1]))


def _nearest_gap(everything: np.ndarray, train: np.ndarray) -> float:
    """The length of train[0] − train[2] before scaling, from the ratios to train[0] − train[4]."""
    up = everything[:178]
    gaps = np.linalg.norm(up[:, None] - up[None], axis=2)
    ratio = np.linalg.norm(train[0] - train[2]) / np.linalg.norm(train[0] - train[4])
    third = np.linalg.norm(train[2] - train[4]) / np.linalg.norm(train[0] - train[4])
    for a in range(len(up)):
        with np.errstate(divide="ignore", invalid="ignore"):
            table = gaps[a][:, None] / gaps[a][None]
            other = gaps / gaps[a][None]
        hits = np.argwhere((np.abs(table - ratio) < 1e-10) & (np.abs(other - third) < 1e-10))
        for b, _ in hits:
            return float(gaps[a, b])
    raise AssertionError("no three images have these ratios")


def _centre(everything: np.ndarray, train: np.ndarray, scale: float) -> np.ndarray:
    """The mean of the training images: the pixel vector that puts train[0] onto an image."""
    for image in everything:
        centre = image - train[0] / scale
        moved = scale * (everything - centre)
        if all(np.abs(moved - each).max(axis=1).min() < 1e-9 for each in train[:5]):
            return centre
    raise AssertionError("train[0] is no image")


def test_run_explicit__stops_when_told() -> None:
    problem = make_problem(digits(), NET)
    plan = [simdyn.SGD(learning_rate=0.1, epochs=10)]
    wanted = Wanted(simdyn.Record(), ("train_loss",), "last")
    arguments = (problem, plan, 0, 0, wanted, np.array([10]))
    assert run_explicit(*arguments, np.ones(1, np.int64)) is None
    assert run_explicit(*arguments, np.zeros(1, np.int64)) is not None


def test_study__of_images(tmp_path: Path, archive: Path) -> None:
    fields = {
        "model": "images",
        "source": str(archive),
        "images": "x",
        "labels": "y",
        "positive": 0,
        "negative": 2,
        "patch_size": 2,
        "n_samples": 6,
    }
    methods = {
        "sgd": [simdyn.SGD(learning_rate=0.1, epochs=5)],
        "sam": [simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=5, batch_size=3)],
    }
    study = simdyn.Study(fields, NET, methods, {"noise_std": [0.0, 1.0]}, replicates=3)
    one, two = study.run(tmp_path / "one.zarr", threads=1), study.run(threads=2)
    assert one.test_error.dims == ("noise_std", "method", "replicate", "step")
    assert {"test_error_low", "test_error_high"} <= set(one)
    assert "clean_test_error" not in one
    for name in one:
        assert np.array_equal(one[name].values, two[name].values), name
    alone = simdyn.simulate(mine(archive, noise_std=1.0), NET, methods["sam"], replicates=3)
    here = one.sel({"noise_std": 1.0, "method": "sam"}).isel(step=-1)
    assert np.array_equal(here.test_error.values, alone.test_error.isel(step=-1).values)
    # Other pixels are another study.
    with np.load(archive) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["x"] = changed["x"] + 1.0
    np.savez(archive, **changed)
    other = simdyn.Study(fields, NET, methods, {"noise_std": [0.0, 1.0]}, replicates=3)
    assert other.fingerprint != study.fingerprint
    with pytest.raises(InputError, match="the images differ"):
        other.run(tmp_path / "one.zarr")


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": "z"}, "no array 'z'; Allowed: x, y, flat, short"),
        ({"images": "flat"}, "'flat' has shape (30, 24) of float64; allowed are numbers (N, heig"),
        ({"images": "bad"}, "'bad'[4, 0, 4] = nan; allowed are finite numbers"),
        ({"images": "names"}, "'names' has shape (30,) of <U1; allowed are numbers"),
        ({"images": "same", "patch_size": 1}, "the training images are all alike"),
        ({"images": "first"}, "'first' has shape (30, 3, 8, 10), which looks like channels first"),
        ({"labels": "short"}, "'short' has shape (29,); allowed is (30,), one for each image"),
        ({"labels": "flat"}, "'flat' has shape (30, 24); allowed is (30,)"),
        ({"labels": "names"}, "'names' are <U1; allowed are integers"),
        ({"positive": 7}, "positive = 7: no image has this label; the labels are 0, 1, 2"),
        ({"negative": 0}, "negative = 0: allowed is another class than positive"),
        ({"patch_size": 4}, "patch_size = 4: allowed is a divisor of 4 and 6"),
        ({"n_samples": 20}, "n_samples = 20: allowed is up to 18; there are 10 images of class 0"),
        ({"n_samples": 1}, "n_samples = 1: allowed is an integer from 2"),
        ({"test_samples": 15}, "test_samples = 15: allowed is up to 14 beside n_samples = 6"),
        ({"signal_norm": 0.0}, "signal_norm = 0.0: allowed is a finite number > 0"),
        ({"source": "absent.npz"}, "source = 'absent.npz': No such file or directory; allowed is"),
    ],
)
def test_images__bad_input(archive: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        simdyn.simulate(mine(archive, **changes), NET, simdyn.SGD(learning_rate=0.1, epochs=1))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY", b"plain text"])
def test_images__no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape("cannot be read; allowed is an .npz file")):
        images.load(mine(path))
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(InputError, match=re.escape("cannot be read; allowed is an .npz file")):
        images.load(mine(tmp_path / "one.npy"))
    np.savez(tmp_path / "objects.npz", x=np.array([{}]), y=np.array([1]))
    with pytest.raises(InputError, match=re.escape("cannot be read; allowed is an .npz file")):
        images.load(mine(tmp_path / "objects.npz"))
    with pytest.raises(InputError, match=r"source = .*: .*cannot be read|Is a directory"):
        images.load(mine(tmp_path))


def test_uniform_weights__need_explicit_vectors() -> None:
    data = simdyn.SignalNoiseData(n_samples=4, dimension=9, signal_norm=1.0)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.1, init="uniform")
    plan = simdyn.SGD(learning_rate=0.1, epochs=1)
    with pytest.raises(InputError, match="init = 'uniform': allowed for explicit vectors only"):
        simdyn.simulate(data, net, plan)
    with pytest.raises(InputError, match="init = 'uniform': allowed for explicit vectors only"):
        simdyn.Study(data, net, {"sgd": [plan]})


def test_study__trajectories_of_images_are_drawn() -> None:
    study = simdyn.Study(
        digits(),
        NET.replace(init="uniform"),
        {
            "sgd": [simdyn.SGD(learning_rate=0.1, epochs=20)],
            "sam": [simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=20)],
        },
        record=simdyn.Record(log_spaced=6, variables=("train_loss", "test_error", "sam_gap")),
        figure=Trajectories(),
    )
    figure = plot.draw(study.run(), Trajectories())
    said = " ".join(text.get_text() for text in figure.texts)
    assert "3 against 8" in said.replace("\n", " ")
    assert "init uniform" in said.replace("\n", " ")


@pytest.mark.parametrize(
    "record",
    [
        simdyn.Record(test_estimator="counted"),
        simdyn.Record(test_draws=10),
        simdyn.Record(weights=True),
    ],
)
def test_simulate__refuses_records_that_mean_nothing_for_images(record: simdyn.Record) -> None:
    with pytest.raises(InputError, match=r"Record\..*: allowed"):
        simdyn.simulate(digits(), NET, simdyn.SGD(learning_rate=0.1, epochs=1), record=record)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_images__of_any_scale(tmp_path: Path, archive: Path, scale: float) -> None:
    with np.load(archive) as arrays:
        found = {name: arrays[name] for name in ("x", "y")}
    paths = [tmp_path / "one.npz", tmp_path / "other.npz"]
    for path, factor in zip(paths, (1.0, scale), strict=True):
        np.savez(path, x=factor * found["x"], y=found["y"])
    one, other = (make_problem(mine(path), NET) for path in paths)
    assert np.allclose(one.vectors, other.vectors, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3, 3), "net = 3: allowed is a TwoLayerCNN"),
        ((NET, 0), "dimension = 0"),
        ((NET, 2.5), "dimension = 2.5: allowed is an integer ≥ 1"),
        ((NET, True), "dimension = True"),
    ],
)
def test_initial_weights__bad_input(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        initial_weights(*arguments)
    with pytest.raises(InputError, match="replicate = -1: allowed is an integer ≥ 0"):
        initial_weights(NET, 3, replicate=-1)


def test_study__image_source_is_checked_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source = 'absent\.npz': No such file"):
        simdyn.Study(
            {"model": "images", "source": "absent.npz", "n_samples": 4},
            NET,
            {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=1)]},
        )


@pytest.mark.parametrize(
    ("shape", "plausible"),
    [
        ((6, 3, 32, 32), False),
        ((6, 1, 28, 28), False),
        ((6, 4, 8, 5), False),
        ((6, 32, 32, 3), True),
        ((6, 28, 28, 1), True),
        ((6, 1, 1, 64), True),
        ((6, 4, 6, 2), True),
        ((6, 8, 8, 8), True),
        ((6, 3, 4, 4), True),
    ],
)
def test_images__channels_first_are_refused(
    tmp_path: Path, shape: tuple[int, ...], plausible: bool
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.random.default_rng(0).random(shape), y=np.arange(6) % 3)
    if plausible:
        assert images.load(mine(path)).images.shape == shape
        return
    with pytest.raises(InputError, match=re.escape("np.moveaxis(images, 1, -1)")):
        images.load(mine(path))
