"""Score a learned concept: is it the thing, and do prompts still work?

Owns which pictures are drawn and which scores are taken, with both anchors: what real pictures reach among themselves,
and what the initializer's words reach without any learning (the class word where it has none). Does not know training,
registries or files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textinv.embedding import Embedding
from textinv.evaluation import scores
from textinv.evaluation.classifier import has_classifier, load_classifier
from textinv.evaluation.judge import Judge, Opinion, Pixels, check_asks
from textinv.evaluation.pinned import NUM_EDITS, Sheet, make_sheet
from textinv.evaluation.prompts import Kind, prompts_of
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder, own_encoder
from textinv.placeholders import ConceptRef

CONCEPT = ConceptRef("concept")


@dataclass(frozen=True)
class Learned:
    """A learned concept, as far as its scores depend on it."""

    embedding: Embedding
    kind: Kind
    class_word: str | None
    """What kind of thing it is: takes the placeholder's place where a prompt is read. None: editability is left out."""
    started_from: str | None = None
    """The initializer's words, as written or as `auto` found them; None where it was no text, or is not known."""

    @property
    def anchor_word(self) -> str | None:
        """The plain words whose own fidelity is the lower anchor; None where no words are known."""
        return self.started_from or self.class_word


@dataclass(frozen=True)
class Drawing:
    """How the pictures are drawn."""

    num_images: int = 4
    """Pictures per prompt for fidelity; one per prompt is drawn for editability."""
    num_inference_steps: int | None = None
    """None: the base model's; likewise the guidance."""
    guidance_scale: float | None = None
    seed: int = 0


def evaluate(
    model: BaseModel,
    learned: Learned,
    pictures: Sequence[Picture],
    *,
    encoders: Sequence[PictureEncoder] = (),
    drawing: Drawing | None = None,
    prompts: Sequence[str] | None = None,
    keep: Callable[[Sheet], None] | None = None,
) -> dict[str, Any]:
    """Draw with a concept and score it against real pictures (held out, else those of the training); plain JSON.

    `prompts` take the place of those that belong to the base model. Where it has a judge, `judge` holds what that says.
    `keep` is given those of the pictures that are pinned, before they are looked at.

    Raises:
        SettingsError: no encoder was given and the base model has neither one of its own nor a judge.
        BaseModelError: its judge or its evaluation prompts cannot be used. Nothing is drawn in either case.
    """
    judge, of_base = judge_of(model), prompts_of(model.folder)
    if judge is not None:
        check_asks(judge, of_base.asks)
    used = encoders or (() if judge and model.clip is None else (own_encoder(model),))
    drawing = drawing or Drawing()
    lines = tuple(prompts or of_base.editability[learned.kind])
    plain = of_base.fidelity[learned.kind]
    drawn = _draw(model, learned, drawing, plain, lines)
    if keep is not None:
        shown = [drawn.concept[0], *drawn.edits[:NUM_EDITS]]
        keep(make_sheet([plain, *lines[:NUM_EDITS]], shown, drawing.num_inference_steps, drawing.seed))
    real = [picture.pixels for picture in pictures]
    edits = dict(zip(lines, drawn.edits, strict=True))
    opinion = Opinion(judge, learned.kind, pictures) if judge else None
    own = {"judge": opinion.scores(drawn.concept, drawn.word, edits, of_base.asks)} if opinion else {}
    scored = [_scores(encoder, drawn, real, learned.class_word, lines) for encoder in used]
    return {
        "encoders": [means for means, _ in scored],
        "each": {str(means["encoder"]): each for means, each in scored},
        **own,
        **facts_of(model, learned),
        "prompts": list(lines),
        "drawing": drawing.__dict__.copy(),
    }


def judge_of(model: BaseModel) -> Judge | None:
    """The judge in the base model's folder.

    Raises:
        BaseModelError: it cannot be loaded.
    """
    folder = model.folder / "judge" if model.folder else None
    return load_classifier(folder) if folder and has_classifier(folder) else None


def facts_of(model: BaseModel, learned: Learned) -> dict[str, Any]:
    """What can be said of a concept without drawing it: how long its rows are, and its anchor word; plain JSON."""
    ratios = {
        name: scores.norm_ratio(rows_ND, model.vocabulary(name).detach().cpu())
        for name, rows_ND in learned.embedding.rows.items()
        if name in model.encoder_names  # what an encoder says has no vocabulary to compare with
    }
    return {"norm_ratio": ratios, "anchor_word": learned.anchor_word}


@dataclass(frozen=True)
class _Drawn:
    """Pictures of the concept, of the concept in other company, and of plain words in its place."""

    concept: Sequence[Pixels]
    edits: Sequence[Pixels]
    word: Sequence[Pixels]


def _draw(model: BaseModel, learned: Learned, drawing: Drawing, plain: str, lines: Sequence[str]) -> _Drawn:
    mounts = {CONCEPT: learned.embedding}
    asked = [(plain.replace("{}", CONCEPT.placeholder), drawing.num_images)]
    asked += [(line.replace("{}", CONCEPT.placeholder), 1) for line in lines]
    asked += [(plain.replace("{}", learned.anchor_word), drawing.num_images)] if learned.anchor_word else []
    requests = [
        GenerateRequest(
            prompt=text,
            num_inference_steps=drawing.num_inference_steps,
            guidance_scale=drawing.guidance_scale,
            seed=drawing.seed,
            num_images=num_images,
        )
        for text, num_images in asked
    ]
    images = generate_all(model, [(request, mounts) for request in requests])
    pixels = [[image.pixels for image in group] for group in images]
    edits = [group[0] for group in pixels[1 : 1 + len(lines)]]
    return _Drawn(pixels[0], edits, pixels[-1] if learned.anchor_word else [])


def _scores(
    encoder: PictureEncoder, drawn: _Drawn, real: Sequence[Pixels], class_word: str | None, lines: Sequence[str]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Scores by one encoder, and those of each picture that was drawn, by which versions are compared."""
    real_RF, drawn_GF = encoder.pictures(real), encoder.pictures(drawn.concept)
    result: dict[str, Any] = {
        "encoder": encoder.id,
        "fidelity": scores.all_pairs(drawn_GF, real_RF),
        "real_to_real": scores.within(real_RF),
    }
    each = {"fidelity": scores.of_each((drawn_GF @ real_RF.T).mean(-1))}
    if drawn.word:
        result["initializer_fidelity"] = scores.all_pairs(encoder.pictures(drawn.word), real_RF)
    if class_word is not None and encoder.reads_text:
        asked_TF = encoder.prompts([line.replace("{}", class_word) for line in lines])
        edits_GF = encoder.pictures(drawn.edits)
        result["editability"] = scores.matched(edits_GF, asked_TF)
        each["editability"] = scores.of_each((edits_GF * asked_TF).sum(-1))
    return result, each
