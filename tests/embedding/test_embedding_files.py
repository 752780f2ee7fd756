"""Files of other programs: what we write they read, what they write we read, and nothing a file says is ever run."""

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from textinv.demo import WEIGHTS
from textinv.embedding import EXPORT_FORMATS, Embedding, export_bytes, export_embedding, import_embedding
from textinv.errors import EmbeddingFormatError

ONE = Embedding({"text_encoder": torch.arange(16, dtype=torch.float32).reshape(2, 8)})
TWO = Embedding({"text_encoder": torch.ones(2, 8), "text_encoder_2": torch.zeros(2, 6) + 0.5})

KEYS = {
    "clip_l": ("clip_l", "clip_l"),
    "clip_g": ("clip_g", "clip_g"),
    "t5xxl": ("t5xxl", "t5"),
    "gemma": ("gemma", "gemma", "gemma2_2b"),
}
"""As families state them."""


def _web_ui_rule(contents: dict[str, Any]) -> Tensor:
    """What AUTOMATIC1111, Forge and ComfyUI accept: `string_to_param`, both CLIP keys, or one tensor and no other."""
    if "string_to_param" in contents:
        (only,) = contents["string_to_param"].values()
        return only
    if "clip_g" in contents and "clip_l" in contents:
        return torch.cat([contents["clip_l"], contents["clip_g"]], dim=-1)
    (only,) = contents.values()
    return only


def _invoke_rule(contents: dict[str, Any]) -> int:
    """The width by which InvokeAI tells the family: of `emb_params`, else of `clip_g`."""
    return int((contents["emb_params"] if "emb_params" in contents else contents["clip_g"]).shape[-1])


def test_the_one_file_is_read_by_everyone(tmp_path: Path) -> None:
    (path,) = export_embedding(ONE, "robot", "auto", tmp_path, {"base_model": "emoji"})
    assert path == tmp_path / "robot.safetensors"
    contents = safetensors.torch.load_file(path)
    assert torch.equal(_web_ui_rule(contents), ONE.rows["text_encoder"])
    assert _invoke_rule(contents) == 8
    assert next(iter(contents.values())).shape == (2, 8), "kohya and ComfyUI take the first value, one row per vector"
    with safetensors.safe_open(path, "pt") as opened:
        assert opened.metadata() == {"base_model": "emoji", "format": "pt", "name": "robot"}


@pytest.mark.parametrize("format", ["auto", "diffusers"])
def test_diffusers_reads_the_one_file_and_the_folder(tmp_path: Path, format: str) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        WEIGHTS, unet=None, vae=None, safety_checker=None, feature_extractor=None
    )
    width = pipeline.text_encoder.config.hidden_size
    embedding = Embedding({"text_encoder": torch.randn(2, width)})
    paths = export_embedding(embedding, "robot", format, tmp_path)
    if format == "auto":
        pipeline.load_textual_inversion(str(paths[0].parent), weight_name=paths[0].name, token="<robot>")
    else:
        pipeline.load_textual_inversion(str(paths[0].parent))
    ids = pipeline.tokenizer.convert_tokens_to_ids(["<robot>", "<robot>_1"])
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[ids], embedding.rows["text_encoder"])


def test_the_diffusers_folder_names_the_placeholder(tmp_path: Path) -> None:
    paths = export_embedding(TWO, "robot", "diffusers", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "robot/learned_embeds.safetensors",
        "robot/learned_embeds_2.safetensors",
    ]
    assert [list(safetensors.torch.load_file(path)) for path in paths] == [["<robot>"], ["<robot>"]]


def test_two_encoders_share_one_file(tmp_path: Path) -> None:
    (path,) = export_embedding(TWO, "robot", "auto", tmp_path)
    contents = safetensors.torch.load_file(path)
    assert _web_ui_rule(contents).shape == (2, 14)
    assert _invoke_rule(contents) == 6


@pytest.mark.parametrize("embedding", [ONE, TWO], ids=["one encoder", "two encoders"])
@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_what_is_exported_can_be_imported(tmp_path: Path, format: str, embedding: Embedding) -> None:
    if format == "a1111-pt" and embedding is TWO:
        with pytest.raises(EmbeddingFormatError, match="use the format auto"):
            export_embedding(embedding, "robot", format, tmp_path)
        return
    paths = export_embedding(embedding, "robot", format, tmp_path)
    assert import_embedding(paths[0].parent if format == "diffusers" else paths[0]) == embedding


def test_an_unknown_format_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingFormatError, match=r"'gif'.*a1111-pt"):
        export_embedding(ONE, "robot", "gif", tmp_path)


def test_exported_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    (path,) = export_embedding(ONE, "robot", "auto", tmp_path)
    assert export_bytes(ONE, "robot") == path.read_bytes()


ROWS = ONE.rows["text_encoder"]


@pytest.mark.parametrize(
    "contents",
    [
        {"<robot>": ROWS},
        {"<robot>": ROWS.half()},
        {"emb_params": ROWS},
        {"emp_params": ROWS},
        {"clip_l": ROWS},
        {"string_to_token": {"*": 265}, "string_to_param": {"*": ROWS}, "name": "robot", "step": 10},
        {"string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(ROWS.clone())})},
        ROWS,
    ],
    ids=["diffusers", "fp16", "kohya", "OneTrainer", "clip_l", "A1111", "original repository", "bare tensor"],
)
def test_pickles_of_other_programs_are_read(tmp_path: Path, contents: object) -> None:
    torch.save(contents, tmp_path / "file.pt")
    assert import_embedding(tmp_path / "file.pt") == ONE


def test_a_single_row_may_come_without_its_second_dimension(tmp_path: Path) -> None:
    safetensors.torch.save_file({"<robot>": torch.ones(8)}, tmp_path / "file.safetensors")
    assert import_embedding(tmp_path / "file.safetensors").rows["text_encoder"].shape == (1, 8)


def test_a_picture_of_the_web_ui_is_read(tmp_path: Path) -> None:
    contents = {"string_to_param": {"*": {"TORCHTENSOR": ROWS.tolist()}}, "name": "robot"}
    info = PngInfo()
    info.add_text("sd-ti-embedding", base64.b64encode(json.dumps(contents).encode()).decode())
    Image.new("RGB", (8, 8)).save(tmp_path / "robot.png", pnginfo=info)
    assert import_embedding(tmp_path / "robot.png") == ONE


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, suffix: str, zipped: bool) -> None:
    trace = tmp_path / "trace"
    contents = {"string_to_param": {"*": ROWS}, "name": Evil(trace)}
    torch.save(contents, tmp_path / f"evil{suffix}", _use_new_zipfile_serialization=zipped)
    with pytest.raises(EmbeddingFormatError, match=r"would run code.*not loaded"):
        import_embedding(tmp_path / f"evil{suffix}")
    assert not trace.exists()


def test_a_pickle_that_torch_did_not_write_is_not_run_either(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(EmbeddingFormatError):
        import_embedding(tmp_path / "evil.pt")
    assert not trace.exists()


def test_a_file_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data/0", "w") as member:
        for _ in range(65):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(EmbeddingFormatError, match="unpacks to 68157440 bytes"):
        import_embedding(path)


def test_a_file_of_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as stream:
        stream.truncate(65 * 2**20)
    with pytest.raises(EmbeddingFormatError, match="68157440 bytes"):
        import_embedding(path)


def _saved(contents: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save(contents)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("text.safetensors", b"hello", "not a safetensors file"),
        ("empty.safetensors", b"", "is empty"),
        ("empty.pt", b"", "empty.pt"),
        ("text.pt", b"hello", "text.pt is not a torch file"),
        ("half.pt", b"PK\x03\x04half", "half.pt"),
        ("header.safetensors", b"\xff" * 8 + b"{}", "not a safetensors file"),
        ("none.safetensors", _saved({}), "0 tensors"),
        ("lora.safetensors", _saved({f"lora_{i}": torch.ones(2, 2) for i in range(3)}), "is a LoRA"),
        ("three.safetensors", _saved({f"a{i}": torch.ones(2, 2) for i in range(3)}), "holds 3 tensors"),
        ("base.safetensors", _saved({"model.diffusion_model.x": torch.ones(2, 2)}), "whole base model"),
        ("lfs.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("page.pt", b"<!DOCTYPE html><html></html>", "is a web page"),
        ("page.safetensors", b"\n<html></html>", "is a web page"),
        ("xti.safetensors", _saved({"IN01": torch.ones(1, 8), "MID": torch.ones(1, 8)}), "XTI"),
        ("out.safetensors", _saved({"knock_out": ROWS}), "'knock_out', which is either a concept's name"),
        ("outs.safetensors", _saved({"t5": ROWS, "t5xxl_out": ROWS + 1}), "two tensors for one text encoder"),
        (
            "wide.safetensors",
            _saved({"clip_l": ROWS, "clip_l_out": torch.ones(2, 4)}),
            "need rows of the encoder itself",
        ),
        ("strange.safetensors", _saved({"t5xxl": ROWS, "umt5": ROWS + 1}), "not a known text encoder"),
        ("twice.safetensors", _saved({"t5xxl": ROWS, "t5": ROWS + 1}), "two tensors for one text encoder"),
        ("two.safetensors", _saved({"bundle_emb.a.t5": ROWS, "bundle_emb.b.t5": ROWS + 1}), "carries 2 embeddings"),
        ("nan.safetensors", _saved({"a": torch.full((1, 8), float("nan"))}), "nan.safetensors: .*not finite"),
        ("int.safetensors", _saved({"a": torch.ones(1, 8, dtype=torch.int64)}), "floating-point"),
        ("cube.safetensors", _saved({"a": torch.ones(1, 8, 2)}), "must be floating-point"),
        ("plain.png", b"\x89PNG no picture", "not a picture"),
        ("notes.txt", b"hello", "not named like an embedding file"),
    ],
)
def test_a_file_that_is_no_embedding_is_refused_by_name(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EmbeddingFormatError, match=what) as caught:
        import_embedding(tmp_path / name, KEYS)
    assert name in caught.value.message


def test_several_embeddings_in_one_file_are_refused(tmp_path: Path) -> None:
    torch.save({"string_to_param": {"*": ROWS, "@": ROWS}}, tmp_path / "two.pt")
    with pytest.raises(EmbeddingFormatError, match="2 embeddings"):
        import_embedding(tmp_path / "two.pt")


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingFormatError, match=r"gone\.pt"):
        import_embedding(tmp_path / "gone.pt")
    with pytest.raises(EmbeddingFormatError, match=r"no learned_embeds\.safetensors"):
        import_embedding(tmp_path)


def test_a_picture_without_an_embedding_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(EmbeddingFormatError, match="without an embedding"):
        import_embedding(tmp_path / "plain.png")


def test_nothing_but_an_error_of_ours_comes_of_a_pickle_cut_anywhere(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"<robot>": ROWS}, buffer)
    data = buffer.getvalue()
    path = tmp_path / "cut.pt"
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(EmbeddingFormatError):
            import_embedding(path)


@pytest.mark.parametrize(
    ("tensors", "rows"),
    [
        ({"clip_l": ROWS, "t5": ROWS + 1}, {"clip_l": ROWS, "t5xxl": ROWS + 1}),
        (
            {"clip_l": ROWS, "clip_g": ROWS + 2, "t5xxl": ROWS + 1},
            {"clip_l": ROWS, "clip_g": ROWS + 2, "t5xxl": ROWS + 1},
        ),
        ({"gemma": ROWS}, {"gemma": ROWS}),
        (
            {"lora_unet.down": ROWS + 3, "bundle_emb.fox.clip_l": ROWS, "bundle_emb.fox.t5": ROWS + 1},
            {"clip_l": ROWS, "t5xxl": ROWS + 1},
        ),
        ({"lora_unet.down": ROWS + 3, "bundle_emb.fox.string_to_param.*": ROWS}, {"text_encoder": ROWS}),
    ],
    ids=["clip and t5", "two clips and t5", "gemma", "bundled", "bundled by string"],
)
def test_rows_of_language_models_are_known_by_their_keys(
    tmp_path: Path, tensors: dict[str, torch.Tensor], rows: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "fox.safetensors").write_bytes(_saved(tensors))
    assert import_embedding(tmp_path / "fox.safetensors", KEYS) == Embedding(rows)


def test_a_file_of_named_encoders_keeps_comfys_keys_and_gets_onetrainers_where_these_are_asked_for(
    tmp_path: Path,
) -> None:
    embedding = Embedding({"clip_l": ROWS, "t5xxl": ROWS + 1})
    (one,) = export_embedding(embedding, "fox", "auto", tmp_path / "auto", keys=KEYS)
    (other,) = export_embedding(embedding, "fox", "onetrainer", tmp_path / "onetrainer", keys=KEYS)
    assert set(safetensors.torch.load_file(one)) == {"clip_l", "t5xxl"}
    assert set(safetensors.torch.load_file(other)) == {"clip_l", "t5"}
    with pytest.raises(EmbeddingFormatError, match="cannot load a folder with rows of clip_l and t5xxl"):
        export_embedding(embedding, "fox", "diffusers", tmp_path)


FLUX = {name: KEYS[name] for name in ("clip_l", "t5xxl")}


def test_where_the_base_model_is_known_a_clip_alone_is_its_own_and_what_has_no_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fox.safetensors"
    file.write_bytes(_saved({"clip_l": ROWS}))
    assert import_embedding(file, FLUX, only=True) == Embedding({"clip_l": ROWS})
    assert import_embedding(file, KEYS) == Embedding({"text_encoder": ROWS})
    for strange in ("clip_g", "gemma", "llama"):
        file.write_bytes(_saved({"clip_l": ROWS, strange: ROWS + 1}))
        with pytest.raises(EmbeddingFormatError, match=rf"rows of \['{strange}'\].*keys may be clip_l, t5, t5xxl"):
            import_embedding(file, FLUX, only=True)


def test_rows_without_a_key_are_those_of_the_only_text_encoder(tmp_path: Path) -> None:
    torch.save(ROWS, tmp_path / "rows.pt")
    pixart = {"t5xxl": KEYS["t5xxl"]}
    assert import_embedding(tmp_path / "rows.pt", pixart, only=True) == Embedding({"t5xxl": ROWS})
    with pytest.raises(EmbeddingFormatError, match="not a known text encoder"):
        import_embedding(tmp_path / "rows.pt", FLUX, only=True)


NOTHING = torch.zeros_like(ROWS)


@pytest.mark.parametrize(
    ("tensors", "rows"),
    [
        ({"emp_params_out": ROWS}, {"text_encoder": NOTHING, "text_encoder_out": ROWS}),
        (
            {"clip_l_out": ROWS, "clip_g_out": ROWS + 1},
            {
                "text_encoder": NOTHING,
                "text_encoder_out": ROWS,
                "text_encoder_2": NOTHING,
                "text_encoder_2_out": ROWS + 1,
            },
        ),
        ({"clip_l": ROWS, "t5_out": ROWS + 1}, {"clip_l": ROWS, "t5xxl": NOTHING, "t5xxl_out": ROWS + 1}),
        ({"clip_l": ROWS, "clip_l_out": ROWS + 1}, {"text_encoder": ROWS, "text_encoder_out": ROWS + 1}),
    ],
    ids=["one encoder", "two clips", "clip before, t5 behind", "both places of one"],
)
def test_rows_behind_an_encoder_are_read_and_written_as_such(
    tmp_path: Path, tensors: dict[str, Tensor], rows: dict[str, Tensor]
) -> None:
    """Where a file says nothing of what the encoder reads in their place it reads nothing, as with OneTrainer."""
    (tmp_path / "fox.safetensors").write_bytes(_saved(tensors))
    embedding = import_embedding(tmp_path / "fox.safetensors", KEYS)
    assert embedding == Embedding(rows)
    keys = {name: KEYS[name] for name in embedding.rows if name in KEYS}
    (file,) = export_embedding(embedding, "fox", "onetrainer", tmp_path / "onetrainer", keys=keys)
    onetrainers = {"emp_params_out", "emp_params", "clip_l", "clip_l_out", "clip_g_out", "t5_out"}
    assert set(safetensors.torch.load_file(file)) <= onetrainers
    assert import_embedding(file, KEYS) == embedding
    (file,) = export_embedding(embedding, "fox", "auto", tmp_path / "auto", keys=keys)
    assert import_embedding(file, KEYS) == embedding
    with pytest.raises(EmbeddingFormatError, match="which no program that reads the format diffusers supports"):
        export_embedding(embedding, "fox", "diffusers", tmp_path)


def test_rows_behind_an_encoder_do_not_fit_where_one_vector_of_the_whole_text_is_heard() -> None:
    embedding = Embedding({"clip_l": NOTHING, "clip_l_out": ROWS, "t5xxl": ROWS})
    wanted = {"clip_l": 8, "t5xxl": 8}
    assert embedding.misfit(wanted, "flux") is None
    assert "hears it say one thing" in str(embedding.misfit(wanted, "flux", ["clip_l"]))
    assert "no rows for clip_g" in str(embedding.misfit({**wanted, "clip_g": 8}, "sd3"))
