"""A setting as Python code."""

from typing import TYPE_CHECKING

from simdyn.params import Parameters

if TYPE_CHECKING:
    from simdyn.explore.setting import Setting


def python_code(setting: "Setting") -> str:
    """Python code that computes what the playground shows, to the same bits."""
    methods = "".join(
        f"    {name!r}: [{_call(phase)}],\n" for name, phase in setting.phases.items()
    )
    return (
        "import simdyn\n\n"
        f"data = {_call(setting.data)}\n"
        f"net = {_call(setting.net)}\n"
        f"methods = {{\n{methods}}}\n"
        f"record = {_call(setting.record)}\n"
        f"study = simdyn.Study(\n    data, net, methods, replicates={setting.replicates}, "
        f"seed={setting.seed}, record=record\n)\n"
        "ds = study.run()\n"
        'print(ds.test_error.isel(step=-1).mean("replicate").to_series())\n'
    )


def _call(item: Parameters) -> str:
    """The call that makes a parameter object, without fields at their defaults."""
    fields = item.model_dump(exclude_defaults=True)
    given = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return f"simdyn.{type(item).__name__}({given})"
