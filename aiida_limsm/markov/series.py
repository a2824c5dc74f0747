"""D over the size of the cell and over temperature: weighted fits, with errors and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..units import BOLTZMANN_EV_PER_K
from .arrays import FloatArray

__all__ = [
    "SIGNIFICANCE",
    "ArrheniusFit",
    "Curvature",
    "LinearFit",
    "SizeSeries",
    "arrhenius",
    "size_series",
    "weighted_fit",
]

#: Probability under which a deviation is not taken for chance.
SIGNIFICANCE = 0.05
#: Two values agree within this many errors of their difference.
AGREEMENT_SIGMA = 2.0


@dataclass(frozen=True)
class LinearFit:
    """A weighted least-squares fit.

    Attributes
    ----------
    parameters : ndarray, shape (k,)
        One for each column.
    covariance : ndarray, shape (k, k)
        From the errors of the values alone.
    chi_square : float
        Σ ((y − X p) / σ)².
    freedom : int
        Values less parameters.
    """

    parameters: FloatArray
    covariance: FloatArray
    chi_square: float
    freedom: int

    @property
    def p_value(self) -> float | None:
        """Probability of a larger χ² by chance; None without degrees of freedom."""
        # here, since the reports that fit D(T) start without SciPy
        from scipy.special import chdtrc

        return float(chdtrc(self.freedom, self.chi_square)) if self.freedom else None

    @property
    def scatter(self) -> float:
        """Birge ratio √(χ² / freedom), at least 1: how far errors are too small for the scatter."""
        return math.sqrt(max(self.chi_square / self.freedom, 1.0)) if self.freedom else 1.0


def weighted_fit(columns: ArrayLike, values: ArrayLike, errors: ArrayLike) -> LinearFit:
    r"""Fit y = X p with weights 1/σ²: p = C Xᵀ W y, C = (Xᵀ W X)⁻¹.

    Parameters
    ----------
    columns : array_like, shape (n, k)
        X.
    values, errors : array_like, shape (n,)
        y and its independent standard errors σ.

    Raises
    ------
    ValueError
        For errors that are not positive, or fewer different points than parameters.
    """
    x, y, sigma = (np.asarray(part, dtype=float) for part in (columns, values, errors))
    if not (np.all(np.isfinite(y)) and np.all(np.isfinite(sigma)) and np.all(sigma > 0)):
        raise ValueError("values must be finite and their errors positive")
    # columns of one length: 1/T and 1 differ by orders of magnitude
    weighted = x / sigma[:, None]
    scale = np.linalg.norm(weighted, axis=0)
    u, s, vt = np.linalg.svd(weighted / scale, full_matrices=False)
    if len(y) < x.shape[1] or s[-1] < 1e-10 * s[0]:
        raise ValueError(f"{x.shape[1]} parameters need as many different points")
    inverse = (vt.T / s) / scale[:, None]
    parameters = inverse @ (u.T @ (y / sigma))
    residual = (y - x @ parameters) / sigma
    return LinearFit(
        parameters, inverse @ inverse.T, float(residual @ residual), len(y) - x.shape[1]
    )


@dataclass(frozen=True)
class SizeSeries:
    """D over the length of the cell.

    Attributes
    ----------
    converged_from : float
        Smallest length from which on every D agrees with that of the largest cell, Å.
    converged : bool
        Whether a smaller cell than the largest agrees with it.
    fit : LinearFit or None
        Parameters D∞ and c of D(L) = D∞ + c / L; None with fewer than two lengths.
    """

    converged_from: float
    converged: bool
    fit: LinearFit | None

    @property
    def infinite(self) -> float | None:
        """D∞, in the unit of D."""
        return None if self.fit is None else float(self.fit.parameters[0])

    @property
    def infinite_error(self) -> float | None:
        """Standard error of D∞."""
        return None if self.fit is None else _widened(self.fit, 0)

    @property
    def slope(self) -> float | None:
        """Slope c, in the unit of D times Å."""
        return None if self.fit is None else float(self.fit.parameters[1])

    @property
    def slope_error(self) -> float | None:
        """Standard error of c."""
        return None if self.fit is None else _widened(self.fit, 1)

    @property
    def depends_on_size(self) -> bool:
        """Whether c differs from zero, by a test of its two-sided probability."""
        if self.slope is None or self.slope_error is None:
            return False
        return _two_sided(self.slope / self.slope_error) < SIGNIFICANCE


def size_series(length_angstrom: ArrayLike, d: ArrayLike, error: ArrayLike) -> SizeSeries:
    r"""Judge D over the size of the cell, and extrapolate it.

    Two cells agree where :math:`|D_i - D_j| \le 2 \sqrt{\sigma_i^2 + \sigma_j^2}`. The
    extrapolation is the leading term of interactions of an ion with its own images,
    :math:`D(L) = D_\infty + c / L` (Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004), where c
    is known for liquids; in a crystal it is fitted). Agreement of noisy values proves little: look
    at the errors too.

    Parameters
    ----------
    length_angstrom : array_like, shape (n,)
        Å, in any order.
    d, error : array_like, shape (n,)
        D and its independent standard errors.

    Raises
    ------
    ValueError
        For no value, a length that is not positive, or errors that are not.
    """
    length, d, error = (np.asarray(part, dtype=float) for part in (length_angstrom, d, error))
    if not len(length) or np.any(length <= 0):
        raise ValueError("lengths must be positive, and at least one")
    order = np.argsort(length, kind="stable")
    length, d, error = length[order], d[order], error[order]
    allowed = AGREEMENT_SIGMA * np.hypot(error, error[-1])
    apart = np.flatnonzero(np.abs(d - d[-1]) > allowed)
    first = int(apart[-1]) + 1 if len(apart) else 0
    fit = None
    if length[0] < length[-1]:
        fit = weighted_fit(np.column_stack([np.ones_like(length), 1.0 / length]), d, error)
    return SizeSeries(float(length[first]), bool(length[first] < length[-1]), fit)


@dataclass(frozen=True)
class Curvature:
    """Quadratic term of ln D in x = 1 / (k_B T) − its mean.

    Attributes
    ----------
    value, error : float
        eV².
    p_value : float
        Probability of a larger |value| / error by chance, were there no curvature.
    """

    value: float
    error: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether one activation energy does not describe the data."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True)
class ArrheniusFit:
    """D = D0 exp(−Ea / k_B T).

    Attributes
    ----------
    fit : LinearFit
        Parameters ln D0 and Ea (eV).
    curvature : Curvature or None
        None with fewer than three temperatures.
    """

    fit: LinearFit
    curvature: Curvature | None

    @property
    def energy_ev(self) -> float:
        """Activation energy Ea, eV."""
        return float(self.fit.parameters[1])

    @property
    def energy_error_ev(self) -> float:
        """Standard error of Ea, eV."""
        return _widened(self.fit, 1)

    @property
    def log_d0(self) -> float:
        """The logarithm ln D0, D0 in the unit of D."""
        return float(self.fit.parameters[0])

    @property
    def log_d0_error(self) -> float:
        """Standard error of ln D0."""
        return _widened(self.fit, 0)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of ln D0 and Ea, shape (2, 2)."""
        return self.fit.covariance * _widening(self.fit) ** 2

    def at(self, temperature_k: float) -> tuple[float, float]:
        """Return D at a temperature and its standard error, with the covariance of D0 and Ea.

        Beyond the temperatures of the fit the error only knows of statistics, not of what may
        change between here and there.
        """
        gradient = np.array([1.0, -1.0 / (BOLTZMANN_EV_PER_K * temperature_k)])
        value = math.exp(gradient @ self.fit.parameters)
        return value, value * math.sqrt(gradient @ self.covariance @ gradient)


def arrhenius(temperature_k: ArrayLike, d: ArrayLike, error: ArrayLike) -> ArrheniusFit:
    r"""Fit :math:`\ln D = \ln D_0 - E_a / (k_B T)` with errors :math:`\sigma_D / D` of ln D.

    The errors of the parameters are those that follow from σ. Where the points scatter about the
    line more than these explain (p < 0.05 for χ²) they are widened by √(χ² / freedom).

    The curvature test adds :math:`b x^2`, :math:`x = 1/(k_B T)` less its mean, and asks whether b
    differs from zero by more than its error.

    Parameters
    ----------
    temperature_k : array_like, shape (n,)
        At least two different ones.
    d, error : array_like, shape (n,)
        Resolved, positive D and its independent standard errors.

    Raises
    ------
    ValueError
        For fewer than two temperatures, or values or errors that are not positive.
    """
    temperature, d, error = (np.asarray(part, dtype=float) for part in (temperature_k, d, error))
    if np.any(temperature <= 0) or np.any(d <= 0):
        raise ValueError("an Arrhenius fit needs positive temperatures and positive D")
    beta = 1.0 / (BOLTZMANN_EV_PER_K * temperature)
    columns = np.column_stack([np.ones_like(beta), -beta])
    fit = weighted_fit(columns, np.log(d), error / d)
    curvature = None
    if len(np.unique(temperature)) > 2:
        # powers of x about the mean are far from parallel
        x = beta - beta.mean()
        bent = weighted_fit(np.column_stack([np.ones_like(x), x, x**2]), np.log(d), error / d)
        value, deviation = float(bent.parameters[2]), math.sqrt(bent.covariance[2, 2])
        curvature = Curvature(value, deviation, _two_sided(value / deviation))
    return ArrheniusFit(fit, curvature)


def _widening(fit: LinearFit) -> float:
    """Return what errors are multiplied by: 1 unless the scatter is beyond chance."""
    p = fit.p_value
    return fit.scatter if p is not None and p < SIGNIFICANCE else 1.0


def _widened(fit: LinearFit, k: int) -> float:
    return math.sqrt(fit.covariance[k, k]) * _widening(fit)


def _two_sided(z: float) -> float:
    """Return the probability of a normal variable farther from zero than z."""
    return math.erfc(abs(z) / math.sqrt(2.0))
