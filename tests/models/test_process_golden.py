"""What `Diffusion` computes is bit for bit what was computed before there was a process: rows stay what they were.

`tests/data/process/golden.npz` was written by the code of commit 2e43549: timesteps of 40 steps in three bands; noised
latents, targets and clean estimates at six timesteps; latents after six steps of every noise scheduler, from noise and
from a picture; rows after five steps of training. Rows and drawn latents may differ by the rounding of another
processor.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models.tiny_bases import make_base
from tests.training.conftest import make_work
from textinv.errors import RequestError
from textinv.models import load_base_model
from textinv.models.process import SCHEDULER_KINDS, Diffusion, SchedulerKind
from textinv.training.streams import Choices, draw
from textinv.training.train import learn

CPU = torch.device("cpu")
GOLDEN = np.load(Path(__file__).parents[1] / "data" / "process" / "golden.npz")
PLAIN: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PROCESSES = {
    "epsilon": Diffusion(PLAIN | {"clip_sample": False, "steps_offset": 1}, CPU),
    "v_prediction": Diffusion(PLAIN | {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}, CPU),
    "sample": Diffusion(PLAIN | {"prediction_type": "sample", "clip_sample": False}, CPU),
}
TRAINED = [("sd1", "epsilon"), ("sd2", "v_prediction"), ("sd1", "sample"), ("sdxl", "epsilon"), ("ldm", "epsilon")]


@pytest.mark.parametrize("band", [(300, 1000), (0, 1000), (500, 900)], ids=str)
def test_timesteps_are_drawn_as_before(band: tuple[int, int]) -> None:
    choices = Choices(3, 4, band, PROCESSES["epsilon"], True, (4, 2, 2))
    drawn = np.stack([draw(7, step, 6, choices).timesteps_B for step in range(40)])
    assert np.array_equal(drawn, GOLDEN[f"timesteps/{band[0]}-{band[1]}"])


@pytest.mark.parametrize("predicts", PROCESSES)
def test_latents_are_noised_and_targets_made_as_before(predicts: str) -> None:
    process = PROCESSES[predicts]
    latents, noise, predicted = torch.randn((3, 6, 4, 2, 2), generator=torch.Generator().manual_seed(5))
    times = torch.tensor([0, 1, 250, 500, 998, 999])
    noisy = process.noised(latents, noise, times)
    clean = [process.clean(noisy[k : k + 1], predicted[k : k + 1], times[k].float() + 0.4) for k in range(6)]
    assert _same(noisy, f"noised/{predicts}")
    assert _same(process.target(latents, noise, times), f"target/{predicts}")
    assert _same(torch.cat(clean), f"clean/{predicts}")


@pytest.mark.parametrize("predicts", PROCESSES)
@pytest.mark.parametrize("kind", SCHEDULER_KINDS, ids=lambda kind: kind.name)
def test_every_noise_scheduler_draws_as_before(kind: SchedulerKind, predicts: str) -> None:
    process = PROCESSES[predicts]
    if predicts == "sample" and kind.name in ("euler-a", "heun", "plms"):
        with pytest.raises(RequestError, match=f"'{kind.name}' cannot step from the sample itself"):
            process.sampler(kind, 6)
        return
    sampler, generator = process.sampler(kind, 6), torch.Generator().manual_seed(1)
    latents = sampler.first(torch.randn(1, 4, 2, 2, generator=generator))
    for time in sampler.times:
        latents = sampler.step(sampler.scaled(latents, time).tanh(), time, latents, generator)
    assert _close(latents.numpy(), f"drawn/{predicts}/{kind.name}")
    sampler, generator = process.sampler(kind, 6), torch.Generator().manual_seed(2)
    sampler.skip(3)
    clean, noise = torch.randn((2, 1, 4, 2, 2), generator=generator)
    latents = sampler.renoised(clean, noise, sampler.times[0])
    for time in sampler.times:
        latents = sampler.step(sampler.scaled(latents, time).tanh(), time, latents, generator)
    assert _close(latents.numpy(), f"edited/{predicts}/{kind.name}")


@pytest.mark.parametrize(("family", "predicts"), TRAINED)
def test_a_family_learns_the_rows_that_it_learned_before(family: str, predicts: str, tmp_path: Path) -> None:
    model = load_base_model(str(make_base(family, tmp_path / "base", predicts)), device="cpu", dtype="float32")
    work = make_work("fox", init="fox", resolution_px=32, max_steps=5, min_steps=5)
    rows = learn(model, [work], num_slots=1).concepts["fox"].embedding.rows
    for name, rows_ND in rows.items():
        assert _close(rows_ND.numpy(), f"rows/{family}/{predicts}/{name}")


def _same(found: torch.Tensor, name: str) -> bool:
    return np.array_equal(found.numpy(), GOLDEN[name])


def _close(found: NDArray[np.float32], name: str) -> bool:
    return np.allclose(found, GOLDEN[name], rtol=0, atol=1e-6 * float(np.abs(GOLDEN[name]).max()))
