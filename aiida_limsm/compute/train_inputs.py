"""Input of ``limsm train``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import LimsmModel
from .inputs import (
    Device,
    Dtype,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Seed,
    Symbol,
)

__all__ = ["Architecture", "LossWeights", "TrainInput", "check_head"]

#: Arguments of mace_run_train that decide what ``limsm train`` asks for and finds again.
_OWN_ARGUMENTS = {
    "name", "work_dir", "model_dir", "checkpoints_dir", "results_dir", "train_file", "valid_file",
    "test_file", "foundation_model", "foundation_head", "E0s", "atomic_numbers", "restart_latest",
    "heads", "multiheads_finetuning", "pt_train_file", "pt_valid_file", "lora", "freeze", "seed",
    "device", "default_dtype", "energy_key", "forces_key", "stress_key", "eval_interval",
}  # fmt: skip
E0s = Annotated[dict[Symbol, float], Field(min_length=1)]


class LossWeights(LimsmModel):
    """Weights of energy, forces and stress in the training loss."""

    energy: NonNegative = 1.0
    forces: NonNegative = 100.0
    stress: NonNegative = 10.0


class Architecture(LimsmModel):
    """Shape of a MACE model trained from scratch (fine-tuning takes the foundation's)."""

    r_max_angstrom: Annotated[float, Field(gt=1, le=12)] = 4.5
    num_channels: PositiveInt = 16
    max_l: NonNegativeInt = 0
    max_ell: PositiveInt = 2
    correlation: PositiveInt = 2
    num_interactions: PositiveInt = 2


class TrainInput(LimsmModel):
    """Training of a MACE potential with MACE's own ``mace_run_train``.

    ``strategy``: ``scratch`` needs ``architecture``; ``naive`` goes on from the foundation with
    every weight free; ``frozen`` keeps the layers up to ``frozen_layers``; ``lora`` adds matrices
    of rank ``lora_rank`` and merges them at the end; ``multihead`` trains a second head on the
    replay frames, so that what the foundation knows is kept.

    ``e0s`` says where the isolated-atom energies come from: ``isolated``, those of the labels' own
    DFT in ``e0s_ev``; ``foundation``, its own, for labels of the very same DFT; ``estimated``, a
    least-squares fit to the training frames. ``max_energy_zero_error_ev_per_atom`` bounds how far
    labels and foundation may then be apart on average before the training.

    ``resample_frames``: train on as many frames drawn with replacement from the training frames, by
    ``seed`` (bagging, L. Breiman, Machine Learning 24, 123 (1996)), so that the members of a
    committee see different data. Energy zero and errors are still those of all frames.

    ``max_error_growth``: a validation force RMSE larger than so many times the one before training
    has exploded, and the training is stopped.
    """

    strategy: Literal["scratch", "naive", "multihead", "frozen", "lora"] = "naive"
    foundation_file: str | None = "foundation.model"
    foundation_head: str | None = None
    train_file: str = "train.xyz"
    valid_file: str = "valid.xyz"
    test_file: str | None = None
    resample_frames: bool = False
    replay_train_file: str | None = None
    replay_valid_file: str | None = None
    e0s: Literal["isolated", "foundation", "estimated"] = "isolated"
    e0s_ev: E0s | None = None
    replay_e0s_ev: E0s | None = None
    max_energy_zero_error_ev_per_atom: Positive = 1.0
    architecture: Architecture | None = None
    frozen_layers: Literal["embedding", "interactions", "products"] = "interactions"
    lora_rank: PositiveInt = 4
    lora_alpha: Positive = 1.0
    max_epochs: PositiveInt = 30
    stage_two_epoch: PositiveInt | None = None
    batch_size: PositiveInt = 4
    learning_rate: Positive = 3e-3
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = 0.99
    weights: LossWeights = LossWeights()
    max_error_growth: Annotated[float, Field(gt=1)] = 20.0
    seed: Seed = 0
    device: Device = "cpu"
    dtype: Dtype = "float32"
    threads: PositiveInt = 1
    max_seconds: Positive | None = None
    extra_arguments: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _strategy_has_what_it_needs(self) -> TrainInput:
        if self.strategy == "scratch" and self.foundation_file is not None:
            raise ValueError("strategy 'scratch' takes no foundation model: set it to null")
        if self.strategy == "scratch" and self.architecture is None:
            raise ValueError("strategy 'scratch' needs the field 'architecture'")
        if self.strategy != "scratch" and self.foundation_file is None:
            raise ValueError(f"strategy '{self.strategy}' needs a foundation model")
        replay = (self.replay_train_file, self.replay_valid_file)
        if self.strategy == "multihead" and None in replay:
            raise ValueError(
                "strategy 'multihead' needs replay frames to train on and to validate with: give "
                "a replay set, or take strategy 'naive'"
            )
        if self.strategy != "multihead" and (*replay, self.replay_e0s_ev) != (None, None, None):
            raise ValueError(
                f"strategy '{self.strategy}' would not use the replay set: take 'multihead'"
            )
        return self

    @model_validator(mode="after")
    def _energy_zero_has_its_source(self) -> TrainInput:
        if (self.e0s == "isolated") != (self.e0s_ev is not None):
            raise ValueError(
                "e0s_ev: isolated-atom energies are needed for e0s 'isolated'"
                if self.e0s == "isolated"
                else f"e0s_ev would have no effect with e0s '{self.e0s}': leave it out"
            )
        if self.e0s == "foundation" and self.foundation_file is None:
            raise ValueError("e0s 'foundation' needs a foundation model")
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> TrainInput:
        if self.stage_two_epoch is not None and self.stage_two_epoch >= self.max_epochs:
            raise ValueError(
                f"stage_two_epoch ({self.stage_two_epoch}) must come before "
                f"max_epochs ({self.max_epochs})"
            )
        if own := sorted(_OWN_ARGUMENTS & set(self.extra_arguments)):
            raise ValueError(f"extra_arguments: {', '.join(own)} are set by limsm: remove them")
        return self


def check_head(head: str | None, heads: Sequence[str]) -> None:
    """Raise ValueError unless ``foundation_head`` names one of the heads, or there is only one."""
    names = ", ".join(heads)
    if head is None and len(heads) > 1:
        raise ValueError(f"foundation_head: the foundation has the heads {names}: choose one")
    if head is not None and head not in heads:
        raise ValueError(f"foundation_head: the foundation has no head '{head}', only {names}")
