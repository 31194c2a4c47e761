"""What a computation must do: its operations and bytes, counted on the program that JAX traces.

XLA's own analysis of a compiled function counts the body of a loop once however often it runs,
and knows nothing of the library calls that matrix products become. A simulation is loops, and
training is matrix products: so both are counted here, before XLA sees them, and alike on every
machine.

    operations   a product of (m, k) and (k, n) counts 2 m k n, a convolution likewise; what is
                 computed element by element counts 1 an element; moving data counts nothing
    bytes        arguments read once and results written once: what no implementation avoids
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

_MOVES = {
    *("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev"),
    *("dynamic_slice", "dynamic_update_slice", "concatenate", "stack", "split", "tile", "pad"),
    *("gather", "scatter", "iota", "convert_element_type", "bitcast_convert_type", "copy"),
    *("copy_p", "stop_gradient", "device_put", "optimization_barrier", "random_wrap"),
    *("random_unwrap", "sharding_constraint"),
}

# Branches whose operations differ by no more count as one.
_ALIKE = 1.05


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one call must do.

    Attributes:
      flops: operations.
      bytes: read and written.
      at_least: True if `flops` is a lower bound: a loop runs as long as its data ask for and was
        counted once, or the cheapest of several branches.
    """

    flops: float
    bytes: float
    at_least: bool = False

    def times(self, calls: int) -> "Cost":
        """What so many calls must do."""
        return Cost(self.flops * calls, self.bytes * calls, self.at_least)


def count(function: Callable, *arguments: Any) -> Cost:
    """Counts what `function(*arguments)` must do, without computing it.

    Args:
      function: traceable by JAX, jitted or not.
      arguments: arrays, or `jax.ShapeDtypeStruct` in their place.

    >>> x = jax.ShapeDtypeStruct((4, 5), "float32"), jax.ShapeDtypeStruct((5, 3), "float32")
    >>> count(jax.numpy.matmul, *x)
    Cost(flops=120.0, bytes=188.0, at_least=False)
    """
    traced = function if hasattr(function, "trace") else jax.jit(function)
    closed = traced.trace(*arguments).jaxpr  # which a call of the same jitted function finds again
    flops, at_least = _flops(closed.jaxpr)
    ends = [variable.aval for variable in (*closed.jaxpr.invars, *closed.jaxpr.outvars)]
    return Cost(float(flops), float(sum(map(_nbytes, ends))), at_least)


def nbytes(tree: Any) -> int:
    """Bytes of a pytree of arrays or of `jax.ShapeDtypeStruct`."""
    return sum(map(_nbytes, jax.tree.leaves(tree)))


def _nbytes(array: Any) -> int:
    return math.prod(array.shape) * array.dtype.itemsize


def _flops(jaxpr: core.Jaxpr) -> tuple[float, bool]:
    """Operations of a program, and whether they are a lower bound."""
    total, at_least = 0.0, False
    for equation in jaxpr.eqns:
        flops, bound = _equation(equation)
        total, at_least = total + flops, at_least or bound
    return total, at_least


def _equation(equation: core.JaxprEqn) -> tuple[float, bool]:
    name, params = equation.primitive.name, equation.params
    if name in _MOVES:
        return 0.0, False
    if name in _EXACT:
        return _EXACT[name](equation), False
    if name.startswith("scatter"):
        return _size(equation.invars[2]), False
    if name.startswith(("reduce_", "arg", "cum")):
        return _size(equation.invars[0]), False
    programs = list(_programs(params))
    if not programs:
        return sum(map(_size, equation.outvars[:1])), False
    inner = [_flops(program) for program in programs]
    if name == "cond":
        least, most = (pick(flops for flops, _ in inner) for pick in (min, max))
        return least, most > least * _ALIKE or any(bound for _, bound in inner)
    times = {"scan": params.get("length", 1), "shard_map": _devices(params)}.get(name, 1)
    bound = name == "while" or any(bound for _, bound in inner)
    return times * sum(flops for flops, _ in inner), bound


def _programs(params: dict) -> Iterator[core.Jaxpr]:
    """The programs that an equation calls."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _devices(params: dict) -> int:
    return params["mesh"].size if "mesh" in params else 1


def _size(variable: Any) -> float:
    return float(math.prod(variable.aval.shape))


def _product(equation: core.JaxprEqn) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2.0 * _size(equation.outvars[0]) * math.prod(shape[axis] for axis in contracted)


def _convolution(equation: core.JaxprEqn) -> float:
    """Zeros that dilate the input, as in a gradient, need no multiplication; padding counts."""
    params, kernel = equation.params, equation.invars[1].aval.shape
    taps = math.prod(kernel) / kernel[params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * _size(equation.outvars[0]) * taps / math.prod(params["lhs_dilation"])


def _factorisation(equation: core.JaxprEqn) -> float:
    return _size(equation.invars[0]) * equation.invars[0].aval.shape[-1] / 3


def _substitution(equation: core.JaxprEqn) -> float:
    return _size(equation.invars[1]) * equation.invars[0].aval.shape[-1]


_EXACT = {
    "dot_general": _product,
    "conv_general_dilated": _convolution,
    "cholesky": _factorisation,
    "triangular_solve": _substitution,
}
