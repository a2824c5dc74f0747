"""Statistical errors: bootstrap over ions and time blocks, and bounds where jumps are too few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2
from scipy.stats import t as student_t

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray

__all__ = [
    "COMPONENTS",
    "Diffusion",
    "bootstrap_weights",
    "jump_bound",
    "summarise",
    "tensor_to_six",
]


COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Order of the six components of a symmetric tensor: xx, yy, zz, yz, xz, xy."""

CONFIDENCE = 0.95
UNSEEN_LIMIT = 0.5


@dataclass(frozen=True)
class Diffusion:
    """A diffusion tensor with its error; all in cm²/s.

    ``covariance`` (6, 6) follows :data:`COMPONENTS`; ``value`` is a third of the trace. Where
    ``resolved`` is False only ``upper_bound`` (95 %, one-sided) may be quoted, for ``reason``.
    """

    method: str
    tensor: FloatArray
    covariance: FloatArray
    value: float
    error: float
    resolved: bool
    upper_bound: float | None
    reason: str


def tensor_to_six(tensor: FloatArray) -> FloatArray:
    """Return the components xx, yy, zz, yz, xz, xy of tensors, shape (..., 6)."""
    return np.stack([tensor[..., a, b] for a, b in COMPONENTS], axis=-1)


def six_to_tensor(six: FloatArray) -> FloatArray:
    """Return the symmetric 3 × 3 tensor of six components."""
    tensor = np.empty((3, 3))
    for value, (a, b) in zip(six, COMPONENTS, strict=True):
        tensor[a, b] = tensor[b, a] = value
    return tensor


def bootstrap_weights(units: int, samples: int, seed: int) -> Iterator[FloatArray]:
    """Yield how often each unit is drawn, ``samples`` times (units drawn with replacement)."""
    random = np.random.default_rng(seed)
    even = np.full(units, 1.0 / units)
    for _ in range(samples):
        yield random.multinomial(units, even).astype(np.float64)


def sample_covariance(samples: FloatArray, units: int) -> FloatArray:
    """Return the covariance of bootstrap samples (n_samples, 6), widened for few units.

    Resampling ``units`` draws gives (units − 1)/units of the variance of their mean; and since
    the error itself is uncertain, it is widened as Student's 95 % interval is to the normal one,
    so that 2σ means 95 % for five units, too.
    """
    if units < 2:
        return np.zeros((6, 6))
    student = float(student_t.ppf(0.975, units - 1)) / 1.96
    covariance = np.atleast_2d(np.cov(samples, rowvar=False))
    return np.asarray(covariance * student**2 * units / (units - 1))


def jump_bound(jumps: int, mean_square_jump: float, ion_time_ps: float) -> float:
    """Return the 95 % upper bound of D (cm²/s) from the number of independent jumps.

    The exact Poisson bound χ²₀.₉₅(2n + 2)/2 on the number of jumps, times the mean squared jump
    length (Å²), over 6 × the ions' total time: D of uncorrelated jumps. Back-jumps only lower D.
    """
    bound = float(chi2.ppf(CONFIDENCE, 2 * (jumps + 1))) / 2.0
    return bound * mean_square_jump / (6.0 * ion_time_ps) * ANGSTROM2_PER_PS_TO_CM2_PER_S


def summarise(
    method: str,
    tensor: FloatArray,
    samples: FloatArray,
    units: int,
    jumps: int,
    minimum_jumps: int,
    bound: float,
    unseen: float = 0.0,
    biased: bool = False,
    memory: float = 0.0,
) -> Diffusion:
    """Judge an estimate: error, and whether it is resolved.

    Parameters
    ----------
    method
        How the tensor was got.
    tensor
        (3, 3), cm²/s.
    samples
        Bootstrap samples of its six components, (n_samples, 6), cm²/s.
    units
        Number of units the bootstrap draws from.
    jumps, minimum_jumps
        Independent jumps seen and asked.
    bound
        The bound of :func:`jump_bound`, cm²/s.
    unseen
        Share of the independent jumps whose kind was seen once: the Good-Turing estimate of
        the share that belongs to kinds not seen at all. A network known by half is not a network.
    biased
        Add the bootstrap's estimate of the bias, mean of the samples − value, to the covariance
        as if it were random. Thinly sampled networks look more disordered than they are, and
        disorder slows diffusion.
    memory
        Error of the value from memory beyond the lag, cm²/s (:func:`lags.memory_bias`); it is
        added to the covariance along the tensor itself.
    """
    value = float(np.trace(tensor)) / 3.0
    covariance = sample_covariance(samples, units)
    if biased:
        bias = samples.mean(axis=0) - tensor_to_six(tensor)
        covariance = covariance + np.outer(bias, bias)
    if value > 0:
        along = tensor_to_six(tensor) * memory / value
        covariance = covariance + np.outer(along, along)
    error = float(np.sqrt(max(covariance[:3, :3].sum(), 0.0))) / 3.0
    reason = ""
    if jumps < minimum_jumps:
        reason = f"{jumps} independent jumps seen, {minimum_jumps} asked"
    elif unseen > UNSEEN_LIMIT:
        reason = (
            f"{unseen:.0%} of the jumps are of a kind seen once: the network of jumps is too "
            "thinly sampled (longer run, or pool over translations)"
        )
    elif units < 2:
        reason = "one ion in one time block: no error can be given"
    elif value <= 0 or error > value:
        reason = "the statistical error is larger than the value"
    resolved = not reason
    upper = None
    if not resolved:
        upper = max(bound, value + 1.645 * error) if jumps >= minimum_jumps else bound
    return Diffusion(
        method=method,
        tensor=tensor,
        covariance=covariance,
        value=value,
        error=error,
        resolved=resolved,
        upper_bound=upper,
        reason=reason,
    )
