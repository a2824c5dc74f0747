"""The command line of ``mace_run_train`` for a training."""

from __future__ import annotations

from collections.abc import Mapping

from .train_inputs import TrainInput

__all__ = ["DRAWN_FRAMES", "NAME", "REPLAY_HEAD", "TRAINED_HEAD", "command_line", "model_name"]

#: MACE's name for the run: its files are not ours until it has ended well.
NAME = "mace"
#: MACE's names of the heads of a multihead fine-tuning.
TRAINED_HEAD, REPLAY_HEAD = "Default", "pt_head"
#: Training frames of a job with ``resample_frames``.
DRAWN_FRAMES = "train_drawn.xyz"
#: Layers that ``--freeze=N`` keeps.
_FREEZE = {"embedding": 1, "interactions": 5, "products": 6}

Value = str | int | float | bool


def model_name(job: TrainInput) -> str:
    """Return the name of the model file that MACE writes at the end."""
    return f"{NAME}_stagetwo.model" if job.stage_two_epoch is not None else f"{NAME}.model"


def command_line(
    job: TrainInput, foundation: str | None, e0s_ev: Mapping[str, float], restart: bool
) -> list[str]:
    """Return the ``mace_run_train`` arguments of a job.

    Parameters
    ----------
    job
        The training.
    foundation
        Model file of one head to start from, with the isolated-atom energies already in it; for
        replay, those of the replay labels.
    e0s_ev
        Isolated-atom energies of the training labels.
    restart
        Go on from the latest checkpoint.
    """
    arguments = _common(job)
    if job.strategy == "multihead":
        arguments |= _replay(job, foundation, e0s_ev)
    elif foundation is not None:
        arguments |= {
            "foundation_model": foundation,
            # The E0s are in the file: MACE overwrites others with the foundation's.
            "E0s": "foundation",
            "multiheads_finetuning": False,
        }
    else:
        arguments |= {"E0s": _by_number(e0s_ev), **_shape(job)}
    if job.resample_frames:
        # Elements that were not drawn belong to the model too.
        arguments["atomic_numbers"] = repr(sorted(_numbers(e0s_ev)))
    if job.strategy == "frozen":
        arguments["freeze"] = _FREEZE[job.frozen_layers]
    if job.strategy == "lora":
        arguments |= {"lora": True, "lora_rank": job.lora_rank, "lora_alpha": job.lora_alpha}
    arguments |= job.extra_arguments
    line = [f"--{key}={value}" for key, value in arguments.items()]
    if job.ema_decay is not None:
        line += ["--ema", f"--ema_decay={job.ema_decay}"]
    if job.stage_two_epoch is not None:
        line += ["--stage_two", f"--start_stage_two={job.stage_two_epoch}"]
    if restart:
        line.append("--restart_latest")
    return line


def _common(job: TrainInput) -> dict[str, Value]:
    return {
        "name": NAME,
        "model": "ScaleShiftMACE",
        "train_file": DRAWN_FRAMES if job.resample_frames else job.train_file,
        "valid_file": job.valid_file,
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "compute_stress": True,
        "loss": "stress",
        "energy_weight": job.weights.energy,
        "forces_weight": job.weights.forces,
        "stress_weight": job.weights.stress,
        "error_table": "PerAtomRMSE",
        "max_num_epochs": job.max_epochs,
        "batch_size": job.batch_size,
        "valid_batch_size": max(job.batch_size, 8),
        "lr": job.learning_rate,
        "seed": job.seed,
        "device": job.device,
        "default_dtype": job.dtype,
        "num_workers": 0,
        "pin_memory": False,
        "plot": False,
        "eval_interval": 1,
        "work_dir": ".",
    }


def _replay(
    job: TrainInput, foundation: str | None, e0s_ev: Mapping[str, float]
) -> dict[str, Value]:
    return {
        "foundation_model": str(foundation),
        "multiheads_finetuning": True,
        # Without it MACE takes 1e-4 and an EMA of 0.99999, and undertrains on small sets.
        "force_mh_ft_lr": True,
        "pt_train_file": str(job.replay_train_file),
        "pt_valid_file": str(job.replay_valid_file),
        "E0s": _by_number(e0s_ev),
    }


def _shape(job: TrainInput) -> dict[str, Value]:
    shape = job.architecture
    assert shape is not None  # the input model asks for it
    return {
        "r_max": shape.r_max_angstrom,
        "num_channels": shape.num_channels,
        "max_L": shape.max_l,
        "max_ell": shape.max_ell,
        "correlation": shape.correlation,
        "num_interactions": shape.num_interactions,
    }


def _by_number(e0s_ev: Mapping[str, float]) -> str:
    """Return energies as MACE reads them: ``{3: -7.1, 14: -105.2}``."""
    return repr(dict(sorted(_numbers(e0s_ev).items())))


def _numbers(e0s_ev: Mapping[str, float]) -> dict[int, float]:
    from ase.data import atomic_numbers

    return {atomic_numbers[symbol]: energy for symbol, energy in e0s_ev.items()}
