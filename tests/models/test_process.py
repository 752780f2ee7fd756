"""The noise process: what is noised, what is predicted, and what is known of neither."""

import pytest
import torch

from textinv.errors import BaseModelError, RequestError
from textinv.models.process import SCHEDULER_KINDS, Diffusion, SchedulerKind

CPU = torch.device("cpu")
PLAIN = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
ZERO_SNR = PLAIN | {
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def test_latents_and_noise_can_be_recovered_from_the_velocity() -> None:
    process = Diffusion(PLAIN | {"prediction_type": "v_prediction"}, CPU)
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    times = torch.tensor([10, 500, 990])
    noisy, target = process.noised(latents, noise, times), process.target(latents, noise, times)
    alphas = process.alphas_cumprod_T[times][:, None, None, None]
    assert torch.allclose(alphas.sqrt() * noisy - (1 - alphas).sqrt() * target, latents, atol=1e-5)
    assert torch.allclose((1 - alphas).sqrt() * noisy + alphas.sqrt() * target, noise, atol=1e-5)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_the_clean_estimate_of_a_perfect_prediction_is_the_picture(predicts: str) -> None:
    process = Diffusion(PLAIN | {"prediction_type": predicts}, CPU)
    latents, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    times = torch.tensor([700])
    noisy, target = process.noised(latents, noise, times), process.target(latents, noise, times)
    assert torch.allclose(process.clean(noisy, target, torch.tensor(700.2)), latents, atol=1e-4)


def test_with_zero_terminal_snr_nothing_of_the_picture_is_left_at_the_end() -> None:
    process = Diffusion(ZERO_SNR, CPU)
    latents, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    last = torch.tensor([999])
    assert torch.equal(process.noised(latents, noise, last), noise)
    assert torch.equal(process.target(latents, noise, last), -latents)


@pytest.mark.parametrize("kind", SCHEDULER_KINDS, ids=lambda kind: kind.name)
def test_zero_terminal_snr_is_drawn_from_pure_noise_or_refused_by_name(kind: SchedulerKind) -> None:
    process = Diffusion(ZERO_SNR, CPU)
    if kind.name in ("heun", "plms"):
        with pytest.raises(RequestError, match=f"'{kind.name}' cannot begin from the pure noise") as caught:
            process.sampler(kind, 4)
        assert caught.value.details["param"] == "noise_scheduler"
        return
    sampler = process.sampler(kind, 4)
    generator = torch.Generator().manual_seed(1)
    latents = sampler.first(torch.randn(1, 4, 8, 8, generator=generator))
    picture = torch.full_like(latents, 0.5)
    for time in sampler.times:
        noisy = sampler.scaled(latents, time)
        alpha = process.alphas_cumprod_T[int(time.round())].clamp(2**-24, 1 - 2**-24)
        noise = (noisy - alpha.sqrt() * picture) / (1 - alpha).sqrt()
        latents = sampler.step(alpha.sqrt() * noise - (1 - alpha).sqrt() * picture, time, latents, generator)
    # A network that knows the picture is led to it; what is left is the noise of the last timestep.
    assert (latents - picture).abs().mean() < 0.1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"prediction_type": "flow_prediction"}, "predicts 'flow_prediction'; epsilon, v_prediction and sample are"),
        ({"_class_name": "EDMDPMSolverMultistepScheduler"}, "is a EDMDPMSolverMultistepScheduler: the process of EDM"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "Playground v2.5 and CosXL"),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "a flow-matching process, which this family's network was not trained with; base models whose",
        ),
        ({"_class_name": "MyScheduler"}, "is a MyScheduler: an unknown process; base models whose"),
        ({"rescale_betas_zero_snr": True}, "zero terminal SNR .* predicts epsilon"),
        ({"beta_schedule": "mine"}, "betas cannot be computed: mine"),
    ],
)
def test_a_process_that_is_not_known_is_refused_by_name(config: dict[str, object], said: str) -> None:
    with pytest.raises(BaseModelError, match=said):
        Diffusion(PLAIN | config, CPU)


def test_a_band_is_a_share_of_time_whatever_the_number_of_timesteps() -> None:
    uniform = torch.arange(8).numpy() / 8
    thousand = Diffusion(PLAIN, CPU).times((500, 1000), uniform)
    hundred = Diffusion(PLAIN | {"num_train_timesteps": 100}, CPU).times((500, 1000), uniform)
    assert thousand.tolist() == [500, 562, 625, 687, 750, 812, 875, 937]
    assert hundred.tolist() == [50, 56, 62, 68, 75, 81, 87, 93]
