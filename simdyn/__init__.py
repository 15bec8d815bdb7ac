"""simdyn: how a two-layer convolutional ReLU network learns the signal or memorises the noise.

Training dynamics of SGD and SAM on patches of signal and noise, evolved exactly in the span of
the data: the cost does not depend on the dimension. See README for a first example.
"""

from typing import Any

import lazy_loader

# `__init__.pyi` lists the public names and their modules; a name is loaded when it is first used,
# so that `import simdyn` stays quick.
_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from simdyn.base.version import VERSION

        return VERSION
    return _public(name)
