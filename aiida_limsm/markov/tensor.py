"""What a diffusion tensor says: principal axes, anisotropy, dimensionality."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np
from scipy.special import gammaincinv

from .arrays import FloatArray
from .errors import COMPONENTS, Diffusion, tensor_to_six

__all__ = [
    "RESOLVED_ERRORS",
    "PrincipalAxes",
    "components_along",
    "is_isotropic",
    "lattice_direction",
    "principal_axes",
]

RESOLVED_ERRORS = 2.0
"""A value this many errors above zero (or above another) is resolved."""

MINOR_SHARE = 0.05
"""Diffusion along an axis below this share of the fastest is no dimension of its own."""

ALIGNED_DEGREES = 2.0
"""An axis so near a lattice direction is said to lie along it."""

LARGEST_INDEX = 3

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PrincipalAxes:
    """Principal values of a diffusion tensor, largest first, cm²/s.

    Attributes
    ----------
    values, errors
        Shape (3,).
    axes
        Unit vectors as rows, (3, 3), Cartesian; the sign is such that the largest component is
        positive.
    directions
        Each axis in words, by the nearest lattice direction [uvw]. Axes of values that cannot be
        told apart are arbitrary, and called so.
    anisotropy, anisotropy_error
        Largest over smallest value; None where the smallest is not resolved.
    isotropic
        The tensor agrees with an isotropic one: its deviator is zero by a test at 95 %.
    dimensionality
        Number of axes along which diffusion is resolved (above twice its error) and at least a
        twentieth of the fastest; 0 where the tensor as a whole is not resolved.
    """

    values: FloatArray
    errors: FloatArray
    axes: FloatArray
    directions: tuple[str, str, str]
    anisotropy: float | None
    anisotropy_error: float | None
    isotropic: bool
    dimensionality: int


def principal_axes(diffusion: Diffusion, cell: FloatArray) -> PrincipalAxes:
    """Diagonalise the tensor and propagate its covariance to the principal values.

    To first order a principal value changes by the change of D along its axis, λ' = vᵀ D' v,
    so that its error is that of D along v. Bootstrapped eigenvalues would not do: near
    degeneracy noise pushes them apart.

    Parameters
    ----------
    diffusion
        The tensor and its covariance.
    cell
        Rows are the lattice vectors that [uvw] refers to, Å, in the tensor's frame.
    """
    axes = np.linalg.eigh(diffusion.tensor)[1].T[::-1].copy()
    strongest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(3), strongest])[:, None]
    values, covariance = components_along(axes, diffusion.tensor, diffusion.covariance)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    isotropic = is_isotropic(diffusion.tensor, diffusion.covariance)
    anisotropy, anisotropy_error = None, None
    if diffusion.resolved and values[2] > RESOLVED_ERRORS * errors[2]:
        anisotropy = float(values[0] / values[2])
        relative = np.array([1.0 / values[0], 0.0, -1.0 / values[2]])
        anisotropy_error = anisotropy * float(np.sqrt(relative @ covariance @ relative))
    seen = (values > RESOLVED_ERRORS * errors) & (values >= MINOR_SHARE * values[0])
    return PrincipalAxes(
        values=values,
        errors=errors,
        axes=axes,
        directions=_directions(values, covariance, axes, cell, isotropic),
        anisotropy=anisotropy,
        anisotropy_error=anisotropy_error,
        isotropic=isotropic,
        dimensionality=int(seen.sum()) if diffusion.resolved else 0,
    )


def lattice_direction(vector: FloatArray, cell: FloatArray) -> tuple[tuple[int, int, int], float]:
    """Return the lattice direction [uvw] nearest to a vector, and the angle to it, degrees.

    Indices go up to 3; among directions within 2° the one of smallest indices is taken. The
    first index that is not zero is positive.
    """
    found = []
    steps = range(-LARGEST_INDEX, LARGEST_INDEX + 1)
    for indices in product(steps, steps, steps):
        if gcd(*indices) != 1 or next(i for i in indices if i) < 0:
            continue
        row = np.array(indices) @ cell
        cosine = abs(float(row @ vector)) / float(np.linalg.norm(row) * np.linalg.norm(vector))
        angle = float(np.degrees(np.arccos(min(cosine, 1.0))))
        found.append((max(angle, ALIGNED_DEGREES), sum(map(abs, indices)), angle, indices))
    _, _, angle, indices = min(found)
    return indices, angle


def components_along(
    directions: FloatArray, tensor: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return D along directions, uᵀ D u, and the covariance of these values.

    Parameters
    ----------
    directions
        Cartesian vectors as rows, (n, 3), of any length.
    tensor, covariance
        (3, 3), and (6, 6) over xx, yy, zz, yz, xz, xy.

    Returns
    -------
    values : ndarray, shape (n,)
    covariance : ndarray, shape (n, n)
    """
    units = directions / np.linalg.norm(directions, axis=1)[:, None]
    twice = np.array([1.0 if a == b else 2.0 for a, b in COMPONENTS])
    along = tensor_to_six(np.einsum("ka,kb->kab", units, units)) * twice
    return along @ tensor_to_six(tensor), along @ covariance @ along.T


def is_isotropic(tensor: FloatArray, covariance: FloatArray) -> bool:
    """Test whether the deviator of a tensor is zero within the errors, at 95 %.

    Its squared norm has, if it is noise, the mean tr C and nearly a χ² distribution with
    (tr C)² / tr C² degrees of freedom (Satterthwaite, Biometrics Bull. 2, 110 (1946)); unlike a
    test with C⁻¹ this holds for a covariance from few units, which has no inverse.
    """
    norm = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # so that a turn leaves lengths as they are
    remove = np.eye(6)
    remove[:3, :3] -= 1.0 / 3.0
    deviator = remove @ (norm * tensor_to_six(tensor))
    covariance = remove @ (covariance * np.outer(norm, norm)) @ remove
    mean = float(np.trace(covariance))
    if mean <= 0:
        return bool(np.allclose(deviator, 0.0, atol=1e-12 * abs(float(np.trace(tensor)))))
    freedom = mean**2 / float((covariance**2).sum())
    limit = 2.0 * float(gammaincinv(freedom / 2.0, CONFIDENCE)) / freedom
    return float(deviator @ deviator) <= limit * mean


def _directions(
    values: FloatArray, covariance: FloatArray, axes: FloatArray, cell: FloatArray, isotropic: bool
) -> tuple[str, str, str]:
    """Name the axes; those whose values differ by less than two errors have no direction."""
    if isotropic:
        return ("any", "any", "any")
    names = [_name(axis, cell) for axis in axes]
    for k, other in ((0, 2), (1, 0)):
        pair = [k, k + 1]
        difference = np.array([1.0, -1.0])
        error = np.sqrt(max(difference @ covariance[np.ix_(pair, pair)] @ difference, 0.0))
        if values[k] - values[k + 1] < RESOLVED_ERRORS * error:
            names[k] = names[k + 1] = f"any normal to {_name(axes[other], cell)}"
            break
    return (names[0], names[1], names[2])


def _name(axis: FloatArray, cell: FloatArray) -> str:
    indices, angle = lattice_direction(axis, cell)
    text = "[" + " ".join(str(i) for i in indices) + "]"
    return text if angle <= ALIGNED_DEGREES else f"{angle:.0f}° from {text}"
