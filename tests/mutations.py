"""Accidents that befall study files and command lines; each case follows from one seed."""

import dataclasses
import datetime
import json
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import items

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))
MUTANT = "mutant.toml"

SMALL = """\
seed = 1
replicates = 1
[data]
n_samples = 4
noise_std = 1.0
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 3 }]
sam = [{ optimiser = "SAM", radius = 0.1, learning_rate = 0.1, epochs = 3 }]
[space]
dimension = [20, 30]
signal_norm = { start = 0, stop = 1, num = 1 }
[record]
variables = ["train_loss", "test_error"]
[figure]
x = "dimension"
y = "signal_norm"
compare = ["sgd", "sam"]
[smoke]
"space.dimension" = [20]
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of the command: its words, and the study file that it may name."""

    words: tuple[str, ...]
    content: bytes | None = None  # of MUTANT

    def __str__(self) -> str:
        content = b"" if self.content is None else self.content
        text = repr(content) if len(content) < 6000 else f"{content[:3000]!r} … {content[-3000:]!r}"
        words = [word if len(word) < 200 else f"{word[:200]}…" for word in self.words]
        return f"words {words}\n{MUTANT} {text}"


# -- values --------------------------------------------------------------------------------------

# As TOML writes them.
LITERALS = [
    *items("""
        0  -1  1  2  3  -0.0  0.5  1e400  -1e400  1e308  -1e308  5e-324  nan  -nan  inf  -inf
        9223372036854775807  9223372036854775808  -9223372036854775809  18446744073709551616
    """),
    *map(str, (2**53, 2**53 + 1, 2**31, 2**24, 2**20, 2**62)),
    *("1" + "0" * 400, "1" * 5000),
    *items("""
        0x10  0b1  1_000  1__0  007  +5  ""  " "  ''  true  false  []  [[]]  {}  [{}]  [1, 2]
        [1, 1]  [1, nan]  [1, "a"]  [true]  [[1], [2]]  ["a", "b"]  ["sgd", "sam"]
        { start = 0, stop = 1, num = 2 }  { start = 1e308, stop = -1e308, num = 3 }
        { start = 1, stop = 1, num = 2 }  { start = 0, stop = nan, num = 2 }
        { log = [1, 1e300], num = 3 }  { log = [0, 1], num = 3 }  { log = [1], num = 3 }
        { start = 0, stop = 1, num = -1 }  { start = 0, stop = 1, num = 1e3 }
        { start = 0, stop = 1 }  { num = 3 }  { a = { b = { c = 1 } } }  1979-05-27
        1979-05-27T07:32:00Z  07:32:00  "nan"  "1e400"  "inf"  "None"  "σ_p"
    """),
    *('"\\u0000"', '"\\u202e\\u200b"', '"🙂"', '"\\n"', '"\\u001b[31m"'),
    *items("""
        "../../etc"  "/"  "dimension"  "n_samples"  "1/0"  "9**9**9"  "9**9**9**9"
        "dimension**dimension"  "sqrt(-1)"  "log(0)"  "exp(1000)"  "1e400"  "-"  "("  "sqrt"
        "sqrt()"  "max(1, 2)"  "n_samples/3"  "1 if 1 else 2"  "__import__('os')"  "lambda: 1"
        "radius"  "epochs"  "learning_rate*epochs"  "self"  "e"  "pi"  "x"  "1j"  "SGD"  "SAM"
        "Adam"  "relu"  "leaky_relu"  "relu_power"  "huber_relu"  "hinge"  "logistic"  "sum"
        "mean"  "isotropic"  "orthogonal"  "xor"  "images"  "multi_view"  "cluster"
        "independent_noise"  "signal_noise"  "digits"  "uniform"  "gaussian"  "keep"  "drop"
        "refuse"  "line"  "counted"  "radial"  "epoch"  "0.1*cosine()"  "0.1/(1+epoch)"
        "step(0, 2)"  "0.1*warmup(2)*step(1, 0.5)"  "update"  "1/updates"  "cosine"
        "warmup(update)-1"  "radius*cosine()"  "step"  "curves"  "trajectories"  "phase_diagram"
        "log"  "linear"  ["train_loss"]  ["margin"]  ["sharpness"]  ["signal_coef", "coef"]
        ["update"]  ["train_loss", "train_loss"]  ["status"]  binary.npz  "binary.toml"
        "folder.toml"
    """),
]
KEYS = [
    *("", " "),
    *items("""
        .  0  seed  replicates  data  network  methods  space  record  figure  smoke  self  cls
        model  n_samples  noise  noise_std  dimension  signal_norm  label_flip  n_patches  angle
        positive  source  images  labels  noise_patches  n_filters  init_std  init  activation
        activation_shape  output  loss  reduction  optimiser  learning_rate  epochs  batch_size
        last_batch  momentum  weight_decay  label_noise  restart  updates  epoch  radius
        normalised  group_size  every  unit  log_spaced  variables  weights  test_estimator
        test_draws  probe_radius  kind  x  y  variable  compare  level  hatch_loss  scale  start
        stop  num  log  method  replicate  step  sign  filter  sample  vector  update  status
        updates  before  receipts  sources  simdyn.store  c  zip  where  sgd.0.epochs
        sam.0.radius  sam.1.radius  data.dimension  space.dimension.num  methods.sgd.0.epochs
        sqrt  pi  σ
    """),
    *("\n", "\u202e", "a" * 3000),
    *items("__class__  model_fields  train_loss  test_error  data.n_samples  a/b  .."),
]


def _literal(rng: random.Random) -> str:
    """An odd value in TOML; seldom a very long or very deep one."""
    draw = rng.random()
    if draw < 0.9:
        return rng.choice(LITERALS)
    size = rng.choice([60, 300, 3000, 100_000])
    depth = min(size, rng.choice([30, 99, 101, 400, 1500, 5000]))
    return rng.choice(
        [
            lambda: '"' + rng.choice(["a", "σ", "1+", "\\\\", "-", " ", "9"]) * size + '"',
            lambda: '"' + "(" * depth + "1" + ")" * depth + '"',
            lambda: '"' + "sqrt(" * depth + "dimension" + ")" * depth + '"',
            lambda: '"' + "**".join("9" * depth) + '"',
            lambda: '"' + "1+" * size + '1"',
            lambda: "[" * depth + "]" * depth,
            lambda: "{a=" * depth + "1" + "}" * depth,
            lambda: "[" + "1," * size + "]",
            lambda: "[" + ", ".join(map(str, range(min(size, 300)))) + "]",
            lambda: "9" * min(size, 5000),
            lambda: repr(rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300)),
            lambda: str(rng.randint(-(10**6), 10**6)),
        ]
    )()


def _value(rng: random.Random) -> Any:
    """An odd value, parsed where TOML can."""
    while True:
        try:
            return tomllib.loads(f"v = {_literal(rng)}")["v"]
        except (ValueError, RecursionError):
            continue


def dump(value: Any) -> str:
    """A value in TOML, tables inline."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(k))} = {dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else hex(value) if value >= 0 else str(value)


def _quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


# -- study files ---------------------------------------------------------------------------------


def _seed_text(rng: random.Random) -> str:
    """A study of the repository, mostly with short axes so that a case is quick; or a small one."""
    text = rng.choice([SMALL, *(path.read_text(encoding="utf-8") for path in STUDIES)])
    return text if rng.random() < 0.01 else re.sub(r"num = \d\d+", "num = 3", text)


def _span(rng: random.Random, text: str, pattern: str) -> tuple[int, int]:
    """Where a random match of a pattern lies; anywhere where there is none."""
    found = [match.span() for match in re.finditer(pattern, text)]
    return rng.choice(found) if found else (rng.randrange(len(text) + 1),) * 2


NUMBER, TOKEN = r"-?\d[\d.e]*", r'"[^"\n]*"|[\w.-]+|[^\s\w]'
VALUE, KEY = r"(?<== )[^\n#]+|(?<=[\[,] )[^,\]\n]+", r'(?m)^"?[\w. ]+"?(?= = )|(?<=^\[)\w+(?=\]$)'


INSERTED = [
    *("=", "e5", " = ", *items('[  ]  {  }  "  #  ,  .'), "\n", "\x00", "\r", "σ", "\ufeff", "[["),
    *('"""', "'", "\\", "-", "1", "\t"),
]


def _text_accident(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    line = rng.randrange(len(lines))
    kind = rng.choice(
        items("""
            number  number  value  value  key  swap  delete  insert  double  lose  exchange  cut
            move  repeat
        """)
    )
    if kind in ("number", "value", "key"):
        start, end = _span(rng, text, {"number": NUMBER, "value": VALUE, "key": KEY}[kind])
        new = _quoted(rng.choice(KEYS)) if kind == "key" else _literal(rng)
        return text[:start] + new + text[end:]
    if kind == "swap":
        (a, b), (c, d) = sorted([_span(rng, text, TOKEN), _span(rng, text, TOKEN)])
        return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:] if b <= c else text
    if kind == "delete":
        at = rng.randrange(len(text) + 1)
        return text[:at] + text[at + rng.randint(1, 20) :]
    if kind == "insert":
        at = rng.randrange(len(text) + 1)
        new = rng.choice(INSERTED)
        return text[:at] + new + text[at:]
    if kind == "cut":
        return text[: rng.randrange(len(text) + 1)]
    if kind == "double":
        lines.insert(rng.randrange(len(lines)), lines[line])
    elif kind == "lose":
        del lines[line]
    elif kind == "exchange":
        other = rng.randrange(len(lines))
        lines[line], lines[other] = lines[other], lines[line]
    elif kind == "move":
        lines.insert(rng.randrange(len(lines)), lines.pop(line))
    else:
        lines[line] = lines[line] * rng.choice([2, 100, 3000])
    return "\n".join(lines)


def _byte_accident(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        changed[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    return bytes(changed)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += _places(item, (*path, key))
    return found


def _table_accident(rng: random.Random, tables: dict[str, Any]) -> None:
    everywhere = _places(tables)
    if not everywhere or len(everywhere) > 2000:
        return

    def holder(path: Sequence[Any]) -> Any:
        place: Any = tables
        for key in path[:-1]:
            place = place[key]
        return place

    path = rng.choice(everywhere)
    parent, last = holder(path), path[-1]
    kind = rng.choice(
        ["replace", "replace", "replace", "delete", "rename", "add", "wrap", "move", "exchange"]
    )
    if kind == "replace":
        parent[last] = _value(rng)
    elif kind == "wrap":
        parent[last] = rng.choice([[parent[last]], {rng.choice(KEYS): parent[last]}])
    elif kind == "delete":
        del parent[last]
    elif kind == "add" and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = _value(rng)
    elif kind == "add":
        parent.append(_value(rng))
    elif kind == "rename" and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = parent.pop(last)
    else:
        other = rng.choice(everywhere)
        if other[: len(path)] == path or path[: len(other)] == other:
            return  # one within the other
        there = holder(other)
        if kind == "exchange":
            parent[last], there[other[-1]] = there[other[-1]], parent[last]
        else:
            there[other[-1]] = parent[last]
            del parent[last]


def study_content(rng: random.Random) -> bytes:
    """A study file after one to three accidents."""
    text = _seed_text(rng)
    if rng.random() < 0.5:
        tables = tomllib.loads(text)
        for _ in range(rng.choice([1, 1, 2, 3])):
            _table_accident(rng, tables)
        text = "\n".join(f"{_quoted(key)} = {dump(value)}" for key, value in tables.items()) + "\n"
    else:
        for _ in range(rng.choice([1, 1, 2, 3])):
            text = _text_accident(rng, text)
    content = text.encode("utf-8", "surrogatepass")
    return _byte_accident(rng, content) if rng.random() < 0.1 else content


# -- command lines -------------------------------------------------------------------------------

JOBS = "--cores 2 --memory 8GB --walltime 01:00:00 --queue q --account a"
LINES = [
    "plan small.toml --nominal",
    "plan small.toml --nominal --json --smoke --out place",
    "plan small.toml",
    "plan small.toml --nominal --sbatch --cores 2 --walltime 01:00:00",
    f"plan small.toml --nominal --sbatch --shards 4 {JOBS}",
    f"plan small.toml --slurm {JOBS}",
    f"plan small.toml --pbs {JOBS}",
    *items("""
        status small.toml --json  status results/small.zarr --watch --every 1
        status small.toml --out place  verify small.toml --json  verify results/small.zarr
        plot small.toml --out place  plot small.toml
    """),
    "replay small.toml dimension=20 "
    "signal_norm=0.0 method=sam --every 1 --replicates 1 --threads 1 --json",
    "replay results/small.zarr dimension=30 method=sgd --to course.zarr",
    "export small.toml --to out.nc",
    "export results/small.zarr",
    "worker small.toml --shard 1/2 --threads 1 --retry-failed --out place",
    "run small.toml --threads 1 --out place",
    "run small.toml --dask local:1 --smoke",
    "run small.toml --dask tcp://127.0.0.1:8786 --json",
    "run small.toml --retry-failed",
    f"run small.toml --slurm --jobs 2 {JOBS}",
    f"run small.toml --pbs --jobs 1 {JOBS}",
    "simulate --dimension 50 --signal-norm 2 --radius 0.1 --epochs 5 --n-samples 6 --n-filters 3 "
    "--replicates 2 --seed 4 --every 2 --threads 1 --json",
    "simulate --dimension 50 --signal-norm 2 --batch-size 5 --n-patches 3 --noise-std 1 "
    "--label-flip 0.1 --noise orthogonal --init-std 0.01 --learning-rate 0.1",
    "check --list",
    "check --list --json update",
    "check --quick update --threads 1 --out place",
]
FLAGS = sorted({word for line in LINES for word in line.split() if word.startswith("--")})
WORDS = [
    *("", " "),
    *items("-  --  ---  -h  0  -1  1  2  1.5  1e3  1e400  nan  inf  -inf  true  None  two"),
    *("9" * 400, "9" * 5000, *map(str, (2**31, 2**53, 2**63, 2**64))),
    *("²", "٣", "σ", "🙂", "\x1b[31m", "a\nb", "\u202e", "x" * 300, "x" * 100_000),
    *items("""
        *  ~  .  ..  /  ../..  /proc/none  /proc/self/mem  1/2  2/1  0/1  1/0  1/1000001  /2  1/
        1/2/3  ²/³  -1/2  1.0/2  local:1  local:0  local:  local:9999  local:10000  tcp://
        tcp://host:port  tcp://[::1]:1  host:1  8GB  0GB  -8GB  8 gib  8XB  99999999999999999999TB
        00:00:00  01:00  1-00:00:00  999:99:99  99999999999999-00:00:00  1:0:0  ::  dimension=20
        dimension=  =20  =  dimension=nan  dimension=1e400
    """),
    "dimension=20 ",
    *items("""
        method=  method=adam  signal_norm=0  signal_norm=-0.0  signal_norm=1_0  nothing=1  a=b=c
        update  sgd  binary.toml  folder.toml  file  other.toml  none.toml  smal.toml  place  bare
        results  results/small.zarr  results/other.zarr  results/bare.zarr  results/text.zarr
        results/none.zarr  results/small.zarr/status  small.toml/x  file/x  small.toml  isotropic
        orthogonal  out.nc  course.zarr  binary.npz
    """),
]


def _spelt(rng: random.Random, word: str) -> str:
    """A word with a slip of the finger."""
    if not word:
        return "x"
    at = rng.randrange(len(word))
    return rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word.upper(),
            word[:at],
            word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
            word + "=",
            word + "=1",
            word[:at] + rng.choice("-=/_aσ1. ") + word[at:],
        ]
    )


def command_line(rng: random.Random) -> tuple[str, ...]:
    """A command line after one to three accidents."""
    words = rng.choice(LINES).split(" ")
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(words)) if words else 0
        kind = rng.choice(
            ["drop", "double", "spell", "value", "value", "value", "flag", "insert", "swap", "file"]
        )
        if kind == "flag":
            words.insert(rng.randint(min(1, len(words)), len(words)), rng.choice(FLAGS))
        elif kind == "insert" or not words:
            words.insert(rng.randint(0, len(words)), rng.choice(WORDS))
        elif kind == "drop":
            del words[at]
        elif kind == "double":
            words[at:at] = words[max(0, at - rng.randint(0, 1)) : at + 1]
        elif kind == "spell":
            words[at] = _spelt(rng, words[at])
        elif kind == "value":
            plain = [k for k, word in enumerate(words) if k and not word.startswith("--")]
            words[rng.choice(plain or [at])] = rng.choice(WORDS)
        elif kind == "swap":
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif len(words) > 1:
            words[1] = rng.choice([w for w in WORDS if "toml" in w or "/" in w])
    return tuple(words)


# -- cases ---------------------------------------------------------------------------------------

ON_MUTANTS = items("""
    plan mutant.toml --nominal  plan mutant.toml --nominal --json
    plan mutant.toml --nominal --smoke  plan mutant.toml --nominal --out place
    plan mutant.toml --nominal --sbatch  run mutant.toml  run mutant.toml --smoke
    run mutant.toml --out place  run mutant.toml --out place --smoke
    worker mutant.toml --shard 1/2 --out place  status mutant.toml  verify mutant.toml
    plot mutant.toml  export mutant.toml  replay mutant.toml dimension=20 method=sam
""")


def make(seed: int) -> Case:
    """The case of a seed: half are study files, half are command lines."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        return Case(tuple(rng.choice(ON_MUTANTS).split()), study_content(rng))
    return Case(command_line(rng))
