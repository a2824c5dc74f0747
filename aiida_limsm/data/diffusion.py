"""The node a user cites: one diffusion tensor with its covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import Data
from numpy.typing import ArrayLike, NDArray

from aiida_limsm.compute.results import DiffusionEstimate
from aiida_limsm.report.format import format_bound, format_table, format_with_error
from aiida_limsm.units import CM2_PER_S_TO_M2_PER_S

from ._content import as_model, attributes_as_model, check_only_files

#: Order of the six independent components in the covariance.
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
#: Their rows and columns in the tensor.
PLACES = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
#: Relative tolerance for symmetry, trace and negative eigenvalues: rounding, not physics.
TOLERANCE = 1e-6


class DiffusionData(Data):
    """One diffusion tensor with its statistical error and the conditions it was found at.

    Parameters
    ----------
    estimate : DiffusionEstimate or dict
        Tensor, covariance, mean D with error, and whether it is resolved.
    temperature_k : float
        Mean temperature of the trajectories.
    cell_angstrom : array_like, shape (3, 3)
        Cell of the trajectories, rows are lattice vectors.
    n_ions : int
        Number of mobile ions averaged over.
    species : str
        Their chemical symbol.
    duration_ps : float
        Length of all trajectories together.
    lag_time_ps : float, optional
        Lag time of the Markov model, or None for another method.

    Notes
    -----
    Where :attr:`resolved` is False the numbers rest on too few independent jumps: quote
    :attr:`upper_bound_cm2_s`, as :meth:`summary` does.
    """

    def __init__(
        self,
        estimate: DiffusionEstimate | dict[str, Any],
        *,
        temperature_k: float,
        cell_angstrom: ArrayLike,
        n_ions: int,
        species: str,
        duration_ps: float,
        lag_time_ps: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        # A trajectory of another program may lack them: say so, not "float() argument must be".
        for name, value in (("temperature_k", temperature_k), ("cell_angstrom", cell_angstrom)):
            if value is None:
                raise ValueError(f"{name}: is unknown; D means nothing without it")
        cell = np.asarray(cell_angstrom, dtype=float)
        self.base.attributes.set_many(
            {
                **as_model(DiffusionEstimate, estimate).model_dump(mode="json"),
                "temperature_k": float(temperature_k),
                "cell_angstrom": cell.tolist(),
                "n_ions": int(n_ions),
                "species": str(species),
                "duration_ps": float(duration_ps),
                "lag_time_ps": None if lag_time_ps is None else float(lag_time_ps),
            }
        )

    @property
    def estimate(self) -> DiffusionEstimate:
        """The result as the model of :mod:`aiida_limsm.compute.results`."""
        return attributes_as_model(self, DiffusionEstimate)

    @property
    def tensor(self) -> NDArray[np.float64]:
        """Diffusion tensor in cm²/s, shape (3, 3), Cartesian axes of the cell."""
        return np.array(self.base.attributes.get("tensor_cm2_s"), dtype=float)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance in cm⁴/s², shape (6, 6), components xx, yy, zz, yz, xz, xy."""
        return np.array(self.base.attributes.get("covariance_cm4_s2"), dtype=float)

    @property
    def error(self) -> NDArray[np.float64]:
        """Standard errors of the elements of :attr:`tensor` in cm²/s, shape (3, 3)."""
        return np.array(self.base.attributes.get("error_cm2_s"), dtype=float)

    @property
    def isotropic_cm2_s(self) -> float:
        """Mean diffusion coefficient (a third of the trace) in cm²/s."""
        return float(self.base.attributes.get("isotropic_cm2_s"))

    @property
    def isotropic_error_cm2_s(self) -> float:
        """Standard error of :attr:`isotropic_cm2_s`."""
        return float(self.base.attributes.get("isotropic_error_cm2_s"))

    @property
    def isotropic_m2_s(self) -> float:
        """Mean diffusion coefficient in m²/s, as battery models want it."""
        return self.isotropic_cm2_s * CM2_PER_S_TO_M2_PER_S

    @property
    def resolved(self) -> bool:
        """Whether enough independent jumps were seen to quote the number."""
        return bool(self.base.attributes.get("resolved"))

    @property
    def upper_bound_cm2_s(self) -> float | None:
        """One-sided 95 % bound in cm²/s, where there is one."""
        bound = self.base.attributes.get("upper_bound_cm2_s")
        return None if bound is None else float(bound)

    @property
    def reason(self) -> str:
        """Why the estimate is not resolved, or an empty string."""
        return str(self.base.attributes.get("reason"))

    @property
    def method(self) -> str:
        """How D was found, in words, with the lag or the window of the fit."""
        return str(self.base.attributes.get("method"))

    @property
    def temperature_k(self) -> float:
        """Temperature in K."""
        return float(self.base.attributes.get("temperature_k"))

    @property
    def cell_angstrom(self) -> NDArray[np.float64]:
        """Cell of the trajectories in Å, shape (3, 3)."""
        return np.array(self.base.attributes.get("cell_angstrom"), dtype=float)

    @property
    def n_ions(self) -> int:
        """Number of mobile ions."""
        return int(self.base.attributes.get("n_ions"))

    @property
    def species(self) -> str:
        """Chemical symbol of the mobile ions."""
        return str(self.base.attributes.get("species"))

    @property
    def duration_ps(self) -> float:
        """Length of all trajectories together in ps."""
        return float(self.base.attributes.get("duration_ps"))

    @property
    def lag_time_ps(self) -> float | None:
        """Lag time of the Markov model in ps, None for another method."""
        lag = self.base.attributes.get("lag_time_ps")
        return None if lag is None else float(lag)

    def principal_axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues and axes of the tensor.

        Returns
        -------
        values : ndarray, shape (3,)
            In cm²/s, largest first.
        axes : ndarray, shape (3, 3)
            ``axes[i]`` is the Cartesian unit vector of ``values[i]``; its largest component is
            positive, so that equal tensors give equal axes.
        """
        values, vectors = np.linalg.eigh(self.tensor)
        axes = vectors.T[::-1].copy()
        for axis in axes:
            if axis[np.argmax(np.abs(axis))] < 0:
                axis *= -1
        return values[::-1].copy(), axes

    def along(self, directions: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return D along directions, uᵀ D u, with errors from the covariance.

        Parameters
        ----------
        directions : array_like, shape (n, 3)
            Cartesian vectors of any length, such as :attr:`cell_angstrom`.

        Returns
        -------
        values, errors : ndarray, shape (n,)
            In cm²/s.
        """
        from aiida_limsm.markov.tensor import components_along

        rows = np.asarray(directions, dtype=float)
        values, covariance = components_along(rows, self.tensor, self.covariance)
        return values, np.sqrt(np.maximum(np.diag(covariance), 0.0))

    def format_d(self) -> str:
        """Return D with its error, or the bound where D is not resolved: never a bare number."""
        if self.resolved:
            return format_with_error(self.isotropic_cm2_s, self.isotropic_error_cm2_s, "cm²/s")
        because = f": {self.reason}" if self.reason else ""
        if self.upper_bound_cm2_s is None:
            return f"not resolved{because}"
        return f"{format_bound(self.upper_bound_cm2_s, 'cm²/s')}, not resolved{because}"

    def headline(self) -> str:
        """Return one line for a listing."""
        return f"{self.species} at {self.temperature_k:.0f} K, {self.method}: {self.format_d()}"

    def summary(self) -> str:
        """Return a few lines that say what was found and under which conditions."""
        rows = [
            ("D", self.format_d()),
            ("temperature", f"{self.temperature_k:.0f} K"),
            ("method", self.method),
            ("sampling", f"{self.n_ions} {self.species} ions, {self.duration_ps:g} ps"),
        ]
        if self.resolved:
            tensor, error = self.tensor, self.error
            rows += [
                (f"D_{name}", format_with_error(float(tensor[k, k]), float(error[k, k]), "cm²/s"))
                for k, name in enumerate(COMPONENTS[:3])
            ]
        return "Diffusion tensor\n" + format_table(rows)

    def _validate(self) -> bool:
        super()._validate()
        check_only_files(self, ())
        attributes_as_model(self, DiffusionEstimate)
        for name in ("temperature_k", "duration_ps"):
            value = self.base.attributes.get(name)
            if not (np.isfinite(value) and value > 0):
                raise ValidationError(f"{name}: must be positive, not {value}")
        if self.n_ions < 1:
            raise ValidationError(f"n_ions: must be at least 1, not {self.n_ions}")
        cell = self.cell_angstrom
        if cell.shape != (3, 3) or not np.all(np.isfinite(cell)) or abs(np.linalg.det(cell)) == 0:
            raise ValidationError("cell_angstrom: must be three independent vectors")
        self._validate_tensor()
        return True

    def _validate_tensor(self) -> None:
        tensor, covariance = self.tensor, self.covariance
        scale = float(np.abs(tensor).max())
        if not np.allclose(tensor, tensor.T, rtol=0.0, atol=TOLERANCE * scale):
            raise ValidationError("tensor_cm2_s: must be symmetric")
        if abs(np.trace(tensor) / 3.0 - self.isotropic_cm2_s) > TOLERANCE * scale:
            raise ValidationError(
                f"isotropic_cm2_s: must be a third of the trace ({np.trace(tensor) / 3.0:g}), "
                f"not {self.isotropic_cm2_s:g}"
            )
        if covariance.shape != (6, 6):
            raise ValidationError(
                f"covariance_cm4_s2: must be 6 × 6 ({', '.join(COMPONENTS)}), "
                f"not {' × '.join(str(length) for length in covariance.shape)}"
            )
        scale = float(np.abs(covariance).max())
        if not np.allclose(covariance, covariance.T, rtol=0.0, atol=TOLERANCE * scale):
            raise ValidationError("covariance_cm4_s2: must be symmetric")
        if np.linalg.eigvalsh(covariance).min() < -TOLERANCE * scale:
            raise ValidationError("covariance_cm4_s2: must have no negative eigenvalue")
        spread = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
        if not np.allclose(self.error[PLACES], spread, rtol=TOLERANCE, atol=0.0):
            raise ValidationError(
                "error_cm2_s: must be the square roots of the covariance's diagonal"
            )
        if self.isotropic_error_cm2_s < 0:
            raise ValidationError(
                f"isotropic_error_cm2_s: must not be negative, not {self.isotropic_error_cm2_s}"
            )
        if self.resolved and not (self.isotropic_cm2_s > 0 and self.isotropic_error_cm2_s > 0):
            raise ValidationError("resolved: needs a positive isotropic_cm2_s and a positive error")
        bound = self.upper_bound_cm2_s
        if bound is not None and bound <= 0:
            raise ValidationError(f"upper_bound_cm2_s: must be positive, not {bound}")
