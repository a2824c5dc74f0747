"""Blocks of time: training, validation and test frames of one trajectory, with gaps between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_limsm.data.dataset import SPLITS

#: Zone of a frame that lies between two blocks.
GAP = -1


def gap_for(decay: int, stride: int) -> int:
    """Return how many kept frames to drop so that two blocks are ``decay`` frames apart."""
    return max(0, -(-decay // stride) - 1)


def time_blocks(
    frames: int, skip: int, stride: int, gap: int, fractions: tuple[float, float]
) -> dict[str, list[int]]:
    """Return the frame indices of each split.

    Every ``stride``-th frame from ``skip`` on is kept. The kept frames are cut into consecutive
    blocks, training, then validation, then test, with ``gap`` kept frames dropped between two.
    Frames next to each other in time are nearly equal: a shuffled split would let the test frames
    leak into the training.

    Parameters
    ----------
    frames
        In the trajectory.
    skip, stride, gap
        In frames; ``gap`` in kept frames.
    fractions
        Of training and validation.

    Raises
    ------
    ValueError
        If a block would be empty.
    """
    kept = list(range(skip, frames, stride))
    usable = len(kept) - 2 * gap
    train, valid = (round(max(usable, 0) * fraction) for fraction in fractions)
    first_valid = train + gap
    first_test = first_valid + valid + gap
    blocks = (kept[:train], kept[first_valid : first_valid + valid], kept[first_test:])
    if usable < 3 or not all(blocks):
        raise ValueError(
            f"{frames} frames are too few to split with skip_frames={skip}, stride={stride}, "
            f"gap_frames={gap}: run longer or keep more"
        )
    return dict(zip(SPLITS, blocks, strict=True))


def zones(blocks: dict[str, list[int]], frames: int) -> NDArray[np.int8]:
    """Return in which block each frame lies, kept or not: index in SPLITS, or ``GAP``.

    Frames before the first kept one belong to the training: they are next to it. A split without
    frames has no zone.
    """
    found = np.full(frames, GAP, dtype=np.int8)
    for number, split in enumerate(SPLITS):
        if indices := blocks[split]:
            first = 0 if number == 0 else indices[0]
            last = frames if number == len(SPLITS) - 1 else indices[-1] + 1
            found[first:last] = number
    return found
