"""Private parts of other libraries that simdyn uses: each test says what broke if one changes."""

import contextlib
import inspect
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def used(part: str, by: str) -> Iterator[None]:
    """Fail in one sentence if this part of a library is gone or behaves otherwise."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as problem:
        pytest.fail(
            f"{part} has changed, and simdyn/{by} uses it: {type(problem).__name__}: {problem}",
            pytrace=False,
        )


def add_one(x):  # type: ignore[no-untyped-def]  # compiled below
    return x + 1


def compiled(**options: Any) -> tuple[Any, Any]:
    """A compiled function, and what the compiler returned for it."""
    import numba

    made = numba.njit(**options)(add_one)
    assert made(1) == 2
    return made, made.overloads[made.signatures[0]]


# -- Numba and llvmlite --------------------------------------------------------------------------


def test_numba__no_cfunc_wrapper() -> None:
    with used("Numba's option no_cfunc_wrapper", "kernels/compiled.py"):
        for leave_out in (False, True):
            _, result = compiled(no_cfunc_wrapper=leave_out)
            made = result.fndesc.llvm_cfunc_wrapper_name in result.library.get_llvm_str()
            assert made != leave_out, f"a C wrapper is made: {made}"


def test_numba__no_cpython_wrapper() -> None:
    import numba

    with used("Numba's option no_cpython_wrapper", "kernels/compiled.py"):
        inner = numba.njit(no_cpython_wrapper=True)(add_one)
        assert numba.njit(lambda x: inner(x))(1) == 2


def test_numba__kernels_without_a_wrapper_refuse_python() -> None:
    from simdyn.kernels import compiled as decorators

    with used("Dispatcher.add_overload and ._compile_for_args", "kernels/compiled.py"):
        for decorator in (decorators.part, decorators.borrowing, decorators.inlined):
            inner = decorator(add_one)
            outer = decorators.kernel(lambda x, inner=inner: inner(x))
            for _ in range(2):  # before and after it is compiled
                with pytest.raises(TypeError, match="add_one is compiled for other kernels only"):
                    inner(1)
                assert outer(1) == 2


def test_numba__nrt() -> None:
    import numba
    import numpy as np

    with used("Numba's option _nrt", "kernels/compiled.py"):
        compiled(_nrt=False)
        with pytest.raises(Exception, match="NRT"):
            numba.njit(_nrt=False)(lambda n: np.zeros(n))(1)


def test_numba__code_that_is_only_linked() -> None:
    import numba
    from numba.core.caching import NullCache
    from numba.core.codegen import JITCodeLibrary
    from numba.core.registry import cpu_target

    from simdyn.kernels import compiled as decorators
    from simdyn.kernels.linked import Linked

    def kernel(function: Any) -> Any:
        made = decorators.kernel(function)
        made._cache = NullCache()  # else a second run of this test compiles nothing
        return made

    def as_usual() -> None:
        assert cpu_target.target_context.codegen()._library_class is JITCodeLibrary
        assert usual == numba.config.OPT

    usual = numba.config.OPT
    with used("JITCodeLibrary, what it does at its end, and _library_class", "kernels/linked.py"):
        seen = kernel(add_one)  # called from a part and from Python
        inner = decorators.part(lambda x: seen(x) + 1)
        outer = kernel(lambda x: inner(x) + 1)
        assert outer(1) == 4
        assert seen(1) == 2
        (code,) = inner.overloads.values()
        assert type(code.library) is Linked
        with pytest.raises(RuntimeError, match="no compiled object"):
            code.library._get_compiled_object()
        for made in (outer, seen):
            (code,) = made.overloads.values()
            assert type(code.library) is JITCodeLibrary
            assert code.library._get_compiled_object()
        as_usual()
        wrong = decorators.part(lambda x: x.nothing)
        with pytest.raises(numba.TypingError):
            kernel(lambda x: wrong(x))(1)
        as_usual()


def test_numba__inlining_copies_blocks() -> None:
    import copy
    from unittest import mock

    from numba.core import inline_closurecall, ir
    from numba.core.caching import NullCache

    from simdyn.kernels import compiled as decorators
    from simdyn.kernels import inlining

    copied: list[Any] = []

    class Noting(inlining._Copies):
        def deepcopy(self, of: Any) -> Any:
            made = super().deepcopy(of)
            copied.append((of, made))
            return made

    def halved(x):  # type: ignore[no-untyped-def]  # of several blocks
        if x > 1.0:
            return 0.5 * x
        return x

    with used("copy.deepcopy of blocks by the inliner", "kernels/inlining.py"):
        inner = decorators.inlined(halved)
        outer = decorators.kernel(lambda x: inner(x) + inner(3.0 * x))
        outer._cache = NullCache()  # else a second run of this test compiles nothing
        with mock.patch.object(inlining, "_Copies", Noting):
            assert outer(1.0) == 2.5
        assert inline_closurecall.copy is copy
        assert all(isinstance(of, ir.Block) for of, _ in copied)
        # Blocks of one copy share a scope; every copy has one of its own.
        assert len({id(made) for _, made in copied}) == len(copied)
        scopes = [id(made.scope) for _, made in copied]
        assert len(copied) > 2 * len(set(scopes)) >= 4
        assert not {id(of.scope) for of, _ in copied[:1]} & {*scopes}


def test_numba__cache_of_a_dispatcher() -> None:
    with used("numba.core.caching._Cache, what a dispatcher calls", "kernels/cache.py"):
        import numba
        from numba.core.caching import _Cache

        wanted = {"cache_path", "load_overload", "save_overload", "enable", "disable", "flush"}
        assert set(_Cache.__abstractmethods__) == wanted
        calls: list[tuple[Any, ...]] = []

        class Noting(_Cache):  # type: ignore[misc]
            cache_path = ""
            enable = disable = flush = lambda self: None

            def load_overload(self, sig: Any, target_context: Any) -> None:
                target_context.refresh()
                calls.append(("load", sig, target_context.codegen().magic_tuple()))

            def save_overload(self, sig: Any, cres: Any) -> None:
                calls.append(("save", sig, cres.codegen.magic_tuple()))
                assert not cres.lifted
                assert not cres.library.has_dynamic_globals

        made = numba.njit(add_one)
        made._cache = Noting()
        assert made(1) == 2
        (load, asked, machine), (save, kept, same) = calls
        assert (load, save) == ("load", "save")
        assert (asked, machine) == (kept, same)


def test_numba__compiled_code_is_pickled_and_rebuilt() -> None:
    with used("CompileResult._reduce and _rebuild", "kernels/cache.py"):
        from numba.core.compiler import CompileResult
        from numba.core.serialize import dumps

        made, result = compiled()
        code = pickle.loads(dumps(result._reduce()))
        rebuilt = CompileResult._rebuild(made.targetctx, *code)
        assert rebuilt.signature == result.signature
        assert rebuilt.entry_point(41) == 42


def test_numba__c_functions_behind_pointers() -> None:
    with used("numba.core.ccallback.CFunc, typing.signature", "kernels/compiled.py"):
        import numba
        import numpy as np
        from numba import types
        from numba.core import typing
        from numba.core.ccallback import CFunc

        def write(at):  # type: ignore[no-untyped-def]
            at[0] = 7.0

        signature = typing.signature(types.void, types.Array(types.float64, 1, "C"))
        options = {"_nrt": False, "error_model": "numpy", "fastmath": {"contract"}}
        made = CFunc(write, (signature.args, types.void), locals={}, options=options)
        assert hasattr(made, "_cache")
        made.compile()
        array = np.zeros(1)
        numba.njit(lambda function, at: function(at))(made, array)
        assert array[0] == 7.0
        assert numba.typeof(made) == types.FunctionType(signature)


def test_numba__events_and_lock_of_the_compiler() -> None:
    with used("numba.core.event and global_compiler_lock.is_locked", "kernels/apart.py"):
        from numba.core import event
        from numba.core.compiler_lock import global_compiler_lock

        locked = []

        class Noting(event.Listener):  # type: ignore[misc]
            def on_start(self, event: Any) -> None:
                locked.append(global_compiler_lock.is_locked())

            def on_end(self, event: Any) -> None:
                pass

        assert not global_compiler_lock.is_locked()
        with event.install_listener("numba:run_pass", Noting()):
            compiled()
        assert len(locked) > 10
        assert all(locked)


def test_numba__configuration() -> None:
    with used("numba.config", "kernels/cache.py and store/log.py"):
        from numba import config

        for name in ("DISABLE_JIT", "CACHE_DIR", "CPU_NAME", "CPU_FEATURES"):
            assert hasattr(config, name), name


def test_llvmlite__instructions_and_helpers() -> None:
    with used("llvmlite.ir or numba.core.cgutils", "kernels/simd.py and kernels/compiled.py"):
        import llvmlite.binding
        import numba
        import numpy as np
        from llvmlite import ir
        from numba import types
        from numba.core import cgutils
        from numba.extending import intrinsic

        for name in (
            "alloca_once",
            "alloca_once_value",
            "for_range_slice",
            "get_or_insert_function",
            "unpack_tuple",
        ):
            assert callable(getattr(cgutils, name)), name
        pair = ir.VectorType(ir.DoubleType(), 2)

        @intrinsic
        def both(typing_context, array):  # type: ignore[no-untyped-def]
            def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                made = context.make_array(signature.args[0])(context, builder, arguments[0])
                pointer = builder.bitcast(made.data, pair.as_pointer())
                vector = builder.load(pointer, align=8)
                lanes = [builder.extract_element(vector, ir.IntType(64)(k)) for k in (0, 1)]
                word = builder.bitcast(made.data, ir.IntType(64).as_pointer())
                builder.load_atomic(word, "monotonic", 8)
                return builder.fadd(*lanes)

            return types.float64(array), build

        assert numba.njit(lambda array: both(array))(np.array([1.0, 2.0])) == 3.0
        assert llvmlite.binding.get_host_cpu_name()


# -- Zarr ----------------------------------------------------------------------------------------


def test_zarr__buffers() -> None:
    with used("zarr.core.buffer", "store/skeleton.py"):
        from zarr.core.buffer import default_buffer_prototype

        assert default_buffer_prototype().buffer.from_bytes(b"abc").to_bytes() == b"abc"


def test_zarr__a_store_in_memory_reads_and_fills_the_dictionary_it_is_given() -> None:
    with used("zarr.storage.MemoryStore over a dictionary", "store/skeleton.py"):
        import zarr
        from zarr.core.buffer import Buffer, default_buffer_prototype
        from zarr.storage import MemoryStore

        kept: dict[str, Any] = {}
        zarr.open_group(MemoryStore(kept), mode="w", zarr_format=3).create_array(
            "a", shape=(2,), chunks=(2,), dtype="float64", fill_value=0.0
        )[:] = 1.0
        assert sorted(kept) == ["a/c/0", "a/zarr.json", "zarr.json"]
        assert json.loads(kept["a/zarr.json"].to_bytes())["shape"] == [2]

        class Behind(dict[str, Buffer]):
            def __missing__(self, name: str) -> Buffer:
                return default_buffer_prototype().buffer.from_bytes(kept[name].to_bytes())

        array = zarr.open_array(MemoryStore(Behind()), path="a", mode="r")
        assert array[:].tolist() == [1.0, 1.0]
        assert array.metadata.to_dict()["node_type"] == "array"


# -- pydantic ------------------------------------------------------------------------------------


def test_pydantic__undefined_defaults_and_what_errors_hold() -> None:
    with used("PydanticUndefined or the list of errors", "params/parameters.py"):
        from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
        from pydantic_core import PydanticUndefined

        class Other(ValueError):
            pass

        class Model(BaseModel):
            model_config = ConfigDict(extra="forbid")
            x: int = Field(PydanticUndefined, json_schema_extra={"allowed": "a number"})

            @model_validator(mode="after")
            def check(self) -> "Model":
                if self.x < 0:
                    raise Other("negative")
                return self

        assert Model.model_fields["x"].is_required()
        assert Model.model_fields["x"].json_schema_extra == {"allowed": "a number"}
        found = {}
        for fields in ({}, {"x": 1, "y": 2}, {"x": -1}):
            with pytest.raises(ValidationError) as caught:
                Model(**fields)
            (error,) = caught.value.errors()
            found[error["type"]] = error
        assert found["missing"]["loc"] == ("x",)
        assert found["extra_forbidden"]["loc"] == ("y",)
        assert found["value_error"]["msg"] == "Value error, negative"
        assert isinstance(found["value_error"]["ctx"]["error"], Other)


# -- Typer and its click -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("go --nonsense", "NoSuchOption"),
        ("go", "MissingParameter"),
        ("go x", "BadParameter"),
        ("", "NoArgsIsHelpError"),
    ],
)
def test_click__errors_by_their_names(words: str, kind: str) -> None:
    with used(f"click's error {kind}", "cli/usage.py"):
        import typer

        app = typer.Typer(no_args_is_help=True)
        app.callback()(lambda: None)

        @app.command()
        def go(number: int) -> None: ...

        with pytest.raises(Exception) as caught:  # noqa: PT011  (which class is the question)
            typer.main.get_command(app).main(words.split(), standalone_mode=False)
        error = caught.value
        assert type(error).__name__ == kind
        assert error.exit_code == 2  # type: ignore[attr-defined]
        assert hasattr(error, "format_message")
        if kind == "NoSuchOption":
            assert error.option_name == "--nonsense"  # type: ignore[attr-defined]
            assert error.ctx.command.get_params(error.ctx)  # type: ignore[attr-defined]
        elif kind != "NoArgsIsHelpError":
            param = error.param  # type: ignore[attr-defined]
            assert param.param_type_name == "argument"
            assert param.name == "number"
            assert param.opts
            assert hasattr(param, "metavar")
        if kind == "BadParameter":
            assert "integer" in error.format_message()  # type: ignore[attr-defined]


def test_typer__groups_of_commands() -> None:
    with used("typer.core.TyperGroup", "cli/usage.py"):
        from typer.core import TyperGroup

        assert list(inspect.signature(TyperGroup.resolve_command).parameters)[1:] == ["ctx", "args"]
        assert "standalone_mode" in inspect.signature(TyperGroup.main).parameters


# -- Dask and dask-jobqueue ----------------------------------------------------------------------


def test_dask__names_and_states() -> None:
    distributed = pytest.importorskip("distributed")
    with used("a part of distributed", "run/dask.py or run/clusters.py"):
        import dask
        from dask.utils import parse_timedelta
        from distributed.comm import connect
        from distributed.security import Security

        from simdyn.run.clusters import NO_DASHBOARD

        assert distributed.KilledWorker.__name__ == "KilledWorker"
        assert distributed.core.Status.failed.name == "failed"
        for name in ("status", "nthreads", "asynchronous", "cluster"):
            assert hasattr(distributed.Client, name) or name in inspect.getsource(
                distributed.Client.__init__
            ), name
        for name in NO_DASHBOARD:
            assert dask.config.get(name) is not None, name
        assert parse_timedelta("90s") == 90
        assert "timeout" in inspect.signature(connect).parameters
        assert Security().get_connection_args("client").keys() >= {"ssl_context"}


def test_dask_jobqueue__jobs_are_submitted_here_and_now() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    with used("a cluster of dask-jobqueue", "run/clusters.py or run/dask.py"):
        import dask

        for system, owner in (("slurm", jobqueue.SLURMCluster), ("pbs", jobqueue.PBSCluster)):
            for name in ("_correct_state", "new_worker_spec", "sync", "scale", "job_script"):
                assert callable(getattr(owner, name)), name
            assert "jobs" in inspect.signature(owner.scale).parameters
            for name in ("worker-extra-args", "job-extra-directives"):
                dask.config.get(f"jobqueue.{system}.{name}")
