"""Statistical errors: bootstrap over ions and time blocks, and bounds where jumps are too few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, stdtrit

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray

__all__ = [
    "COMPONENTS",
    "Diffusion",
    "Evidence",
    "bootstrap_weights",
    "jump_bound",
    "sample_covariance",
    "six_to_tensor",
    "student_factor",
    "summarise",
    "tensor_to_six",
]


COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Order of the six components of a symmetric tensor: xx, yy, zz, yz, xz, xy."""

ISOTROPIC = np.diag([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
"""Covariance of a random symmetric tensor that looks the same from all directions."""

POISSON_LEVEL = 0.975
"""Of an upper bound called 95 %: jumps come in bursts where sites are left unequally fast, so that
their number scatters more than Poisson's; at 0.95 the bound failed in up to 8 % of runs."""
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

    def quoted(self) -> str:
        """Return what may be quoted of the value, cm²/s, in words."""
        if self.resolved:
            return f"{self.value:.3g} ± {self.error:.2g}"
        return f"not resolved, < {self.upper_bound:.2g}"

    @property
    def error_tensor(self) -> FloatArray:
        """Standard errors of the tensor's elements, (3, 3)."""
        return six_to_tensor(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True)
class Evidence:
    """What an estimate rests on.

    Attributes
    ----------
    jumps, minimum_jumps
        Independent jumps seen and asked.
    bound, bounding_jumps
        Upper bound of D, cm²/s, and the number of jumps it counts (:func:`jump_bound`).
    unseen
        Share of the independent jumps whose kind was seen once: the Good-Turing estimate of
        the share that belongs to kinds not seen at all. A network known by half is not a network.
    """

    jumps: int
    minimum_jumps: int
    bound: float
    bounding_jumps: int
    unseen: float = 0.0

    @property
    def one_jump(self) -> float:
        """What a single jump along one axis adds to D along it, cm²/s.

        The Poisson bound is three jumps above the number seen where that is small, and D along
        an axis is three times its third of the trace.
        """
        return 3.0 * self.bound / (self.bounding_jumps + 3)

    def objection(self) -> str:
        """Return why no value may be quoted; empty where it may."""
        if self.jumps < self.minimum_jumps:
            return f"{self.jumps} independent jumps seen, {self.minimum_jumps} asked"
        if self.unseen > UNSEEN_LIMIT:
            return (
                f"{self.unseen:.0%} of the jumps are of a kind seen once: the network of jumps is "
                "too thinly sampled (longer run, or pool over translations)"
            )
        return ""


def tensor_to_six(tensor: FloatArray) -> FloatArray:
    """Return the components xx, yy, zz, yz, xz, xy of tensors, shape (..., 6)."""
    return np.stack([tensor[..., a, b] for a, b in COMPONENTS], axis=-1)


def six_to_tensor(six: FloatArray) -> FloatArray:
    """Return the symmetric 3 × 3 tensor of six components, shape (6,)."""
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


def student_factor(freedom: float) -> float:
    """Return how much wider Student's 95 % interval is than the normal one of the same error."""
    return float(stdtrit(freedom, 0.975)) / 1.96


def sample_covariance(samples: FloatArray, units: int, freedom: float | None = None) -> FloatArray:
    """Return the covariance of bootstrap samples (n_samples, 6), widened for few units.

    Resampling ``units`` draws gives (units − 1)/units of the variance of their mean; and since
    the error itself is uncertain, it is widened as Student's 95 % interval is to the normal one,
    so that 2σ means 95 % for five units, too. ``freedom`` is that of the error, units − 1 where
    the units are about normal.
    """
    if units < 2:
        return np.zeros((6, 6))
    covariance = np.atleast_2d(np.cov(samples, rowvar=False))
    widening = student_factor(units - 1 if freedom is None else freedom)
    return np.asarray(covariance * widening**2 * units / (units - 1))


def jump_bound(jumps: int, mean_square_jump: float, ion_time_ps: float) -> float:
    """Return the 95 % upper bound of D (cm²/s) from a number of jumps.

    The Poisson bound χ²₀.₉₇₅(2n + 2)/2 on the number of jumps, times the mean squared jump
    length (Å²), over 6 × the ions' total time: D of uncorrelated jumps. Which jumps count is
    for :meth:`.SitePaths.bounding_jumps` to say.
    """
    bound = float(gammaincinv(jumps + 1, POISSON_LEVEL))
    return bound * mean_square_jump / (6.0 * ion_time_ps) * ANGSTROM2_PER_PS_TO_CM2_PER_S


def summarise(
    method: str,
    tensor: FloatArray,
    samples: FloatArray,
    units: int,
    evidence: Evidence,
    *,
    freedom: float | None = None,
    biased: bool = False,
    memory: float = 0.0,
) -> Diffusion:
    """Judge an estimate: error, and whether it is resolved.

    What one jump along any axis could change (:attr:`Evidence.one_jump`) is added to the
    covariance: where no jump was seen along an axis, the samples agree on zero without knowing it.

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
    evidence
        The jumps it rests on.
    freedom
        Degrees of freedom of the error; see :func:`sample_covariance`.
    biased
        Add the bootstrap's estimate of the bias, mean of the samples − value, to the covariance
        as if it were random. Thinly sampled networks look more disordered than they are, and
        disorder slows diffusion.
    memory
        Error of the value from memory beyond the lag, cm²/s (:func:`lags.memory_bias`); it is
        added to the covariance along the tensor itself.
    """
    value = float(np.trace(tensor)) / 3.0
    covariance = sample_covariance(samples, units, freedom)
    if biased:
        bias = samples.mean(axis=0) - tensor_to_six(tensor)
        covariance = covariance + np.outer(bias, bias)
    if value > 0:
        along = tensor_to_six(tensor) * memory / value
        covariance = covariance + np.outer(along, along)
    covariance = covariance + evidence.one_jump**2 * ISOTROPIC
    error = float(np.sqrt(max(covariance[:3, :3].sum(), 0.0))) / 3.0
    reason = evidence.objection()
    if not reason and units < 2:
        reason = "one ion in one time block: no error can be given"
    elif not reason and (value <= 0 or error > value):
        reason = "the statistical error is larger than the value"
    upper = None
    if reason:
        seen = evidence.jumps >= evidence.minimum_jumps
        upper = max(evidence.bound, value + 1.645 * error) if seen else evidence.bound
    return Diffusion(
        method=method,
        tensor=tensor,
        covariance=covariance,
        value=value,
        error=error,
        resolved=not reason,
        upper_bound=upper,
        reason=reason,
    )
