"""Real frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAMES = Path(__file__).parents[1] / "data_files" / "li11si4_aimd_16.xyz"


@pytest.fixture(scope="session")
def aimd_positions() -> tuple[Any, Any, Any]:
    """Atomic numbers, cell (Å) and positions (16, 15, 3) of real DFT frames."""
    import ase.io

    frames: list[Any] = ase.io.read(FRAMES, index=":")
    positions = np.stack([frame.positions for frame in frames]).astype(np.float32)
    return frames[0].numbers, frames[0].cell.array, positions
