from __future__ import annotations

from typing import Any

from aiida_limsm.compute.mace_command import command_line, model_name
from aiida_limsm.compute.train_inputs import TrainInput

E0S = {"Li": -12.0, "Si": -132.5}


def line(restart: bool = False, foundation: str | None = "f.model", **values: Any) -> list[str]:
    return command_line(TrainInput(e0s_ev=E0S, **values), foundation, E0S, restart)


def test_naive() -> None:
    words = line(extra_arguments={"patience": 7, "lr": 0.1}, max_epochs=9)
    assert {"--foundation_model=f.model", "--E0s=foundation", "--max_num_epochs=9"} <= set(words)
    assert {"--patience=7", "--lr=0.1", "--ema", "--multiheads_finetuning=False"} <= set(words)
    others = ("--r_max", "--restart", "--stage_two", "--freeze", "--lora", "--pt_")
    assert not any(word.startswith(others) for word in words)
    assert len({word.split("=")[0] for word in words}) == len(words)


def test_drawn_frames_and_their_elements() -> None:
    words = line(resample_frames=True, train_file="mine.xyz")
    # elements that no drawn frame holds belong to the model all the same
    assert {"--train_file=train_drawn.xyz", "--atomic_numbers=[3, 14]"} <= set(words)
    assert "--valid_file=valid.xyz" in words
    words = line(train_file="mine.xyz")
    assert "--train_file=mine.xyz" in words
    assert not any(word.startswith("--atomic_numbers") for word in words)


def test_from_scratch() -> None:
    values = {
        "strategy": "scratch", "foundation_file": None, "architecture": {"num_channels": 8},
        "stage_two_epoch": 1, "ema_decay": None,
    }  # fmt: skip
    words = line(True, None, **values)
    assert {"--E0s={3: -12.0, 14: -132.5}", "--num_channels=8", "--restart_latest"} <= set(words)
    assert {"--stage_two", "--start_stage_two=1"} <= set(words)
    assert not any("foundation" in word or word == "--ema" for word in words)
    assert model_name(TrainInput(e0s_ev=E0S, **values)) == "mace_stagetwo.model"


def test_frozen_and_lora() -> None:
    assert "--freeze=5" in line(strategy="frozen")
    assert "--freeze=1" in line(strategy="frozen", frozen_layers="embedding")
    words = line(strategy="lora", lora_rank=2)
    assert {"--lora=True", "--lora_rank=2", "--lora_alpha=1.0"} <= set(words)


def test_replay_is_our_file_with_our_learning_rate() -> None:
    words = line(
        strategy="multihead", replay_train_file="rt.xyz", replay_valid_file="rv.xyz",
        learning_rate=0.002,
    )  # fmt: skip
    assert {"--multiheads_finetuning=True", "--force_mh_ft_lr=True", "--lr=0.002"} <= set(words)
    assert {"--pt_train_file=rt.xyz", "--pt_valid_file=rv.xyz"} <= set(words)
    # the new head has the E0s of the labels, the replay head keeps those in the file
    assert "--E0s={3: -12.0, 14: -132.5}" in words
