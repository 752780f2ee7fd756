"""What a manifest may say: its fields, their ranges, what each means and costs.

Owns the model of what a person wrote. A field that is not written is None here: defaults come from the recipe when the
manifest is planned. The text under each field is the manifest reference (`manifests/README.md`) and the JSON Schema's
description. Does not know files, YAML or specs.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from textinv.manifest.origin import Origin
from textinv.spec import Crop, Kind, Method, RowPlace, Schedule, StopRule

RecipeName = Literal["instant", "fast", "balanced", "faithful", "published"]
TemplateList = Literal["object", "style"]


class Strict(BaseModel):
    """Frozen, and every unknown field is an error."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class AdvancedFields(Strict):
    """The methods behind the recipes. Most people never need them."""

    optimizer: Method | None = None
    """How rows are moved. `sphere`: rows keep the length of ordinary words and turn, by at most a given angle per step,
    against the mean of their latest gradients' directions, so that prompts keep their say (after Kim et al. 2026,
    arXiv:2512.13672). `adamw`: rows may take any length (Loshchilov and Hutter 2019, arXiv:1711.05101). Same cost.
    Default: the recipe's."""
    kappa: Annotated[float, Field(ge=0, le=1)] | None = None
    """`sphere` only: pull towards the initializer (von Mises-Fisher prior). 0 to 1; more keeps prompts editable and
    loses likeness: 0 is most faithful, 0.0005 already very editable (Kim et al. 2026, arXiv:2512.13672). Costs
    nothing."""
    context_weight: Annotated[float, Field(ge=0, le=10)] | None = None
    """Weight of a term that keeps the other words of a prompt meaning what they mean next to the class word (CoRe,
    arXiv:2408.15914, the text-only term). Needs `class_word`. 0 (off) to 10; costs one pass of the text encoder per
    step."""
    timesteps: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Band of noise levels that are trained on, `[first, end]` in thousandths of the base model's time,
    without the end; 0 is hardly any noise, 1000 nothing else.
    Low-noise steps teach little (ZOODiP, arXiv:2503.14868, fig. 4). Costs nothing."""
    stop_every: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Steps between looks at the fixed batch. 1 to 10000; each look costs `stop_samples` forward passes. Default: as
    often as costs a fifth of the training."""
    stop_window: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Looks in the window of the stopping rule. 2 to 10000; more waits longer before it stops, which costs those
    steps."""
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Stop when the loss varies less in the window than this share of its variance over the whole training
    (Voronov et al. 2023, DVAR, arXiv:2302.04841). Between 0 and 1; less trains longer, which costs
    those steps."""
    stop_samples: Annotated[int, Field(ge=1, le=256)] | None = None
    """Samples in the fixed batch. 8 to 256, from 1 with `stop: fixed`; more gives a steadier loss and costs a forward
    pass each per look."""


class TrainingFields(Strict):
    """How to learn. Under `defaults` for all concepts, or in one concept for that one, which wins."""

    recipe: RecipeName | None = None
    """Named set of the values below and of the advanced ones; the table at the end of the reference has all of them.
    `instant`: no step at all, only what a guess predicts from the pictures (`init: guess`); `fast`: tens of steps, for
    looking at an idea; `balanced`: hundreds; `faithful`: for the last likeness of a particular thing, less willing to
    follow the rest of a prompt: these were measured on the demo base. `published`: what a paper or program says of the
    base model's family. Default: `published` where there is that, else `balanced`. Cost grows with their steps."""
    kind: Kind | None = None
    """What is to be learned: `object` (default), a particular thing, or `style`, the way that pictures look. Decides
    which templates are used, and how it is evaluated. Costs nothing in training."""
    class_word: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What kind of thing it is, in words that the base model knows: "fox", "teapot". The initializer, the context term
    and the evaluation of editability use it. Costs nothing; recommended."""
    init: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Where the rows start. Any text (several words are spread over the vectors); `auto`: the words that the base
    model's own image encoder ranks first for the pictures (as in Voronov et al. 2023, arXiv:2302.04841), or, where it
    has none, the word of a short list that gives the least loss; or what the base model's guess predicts, where there
    is a guess and that has less loss on a fixed batch; `guess`: what it predicts from the pictures, at once (`textinv
    guess train` trains one); `<name>` or `<name@3>`: a concept of the registry; `file:rows/fox.safetensors`: an
    embedding file. Default: the class word, else `auto`, but `guess` with the recipe `instant`. A good start is worth
    as much as a better method. `auto` costs seconds with an image encoder of the base model's own; without one as much
    as about 240 sample passes (each of 60 words on the fixed batch, forward only), in which every slot of the worker
    waits: write a word there."""
    num_vectors: Annotated[int, Field(ge=1, le=32)] | None = None
    """Rows to learn for the concept. 1 to 32; each takes one token of every prompt. More hold more detail and can make
    prompts harder to edit; the original paper took one (Gal et al. 2022, arXiv:2208.01618). Costs no
    sample passes. Default: the recipe's."""
    encoders: Annotated[list[Annotated[str, Field(max_length=32)]], Field(min_length=1)] | None = None
    """The base model's text encoders that learn, for one with several: `[clip_l, t5xxl]`. In the others the words that
    the rows start from stay in the concept's place, unchanged, and go into its file. Fewer cost less: nothing goes
    backward through those that do not learn. Default: the family's (the table in `textinv/README.md`)."""
    rows: RowPlace | None = None
    """Where rows are written: `input` (default), where the text encoder looks words up; `output`, into its output for
    the words that the rows start from. With `output` nothing goes backward through a text encoder of billions of
    weights, and captions are encoded once: a step costs less by the encoder's share, and memory holds the encodings.
    What was learned does not influence the other words of a prompt, the context term does nothing, and other programs
    cannot read the rows (OneTrainer can)."""
    resolution_px: Annotated[int, Field(ge=16, le=4096, multiple_of=8)] | None = None
    """Side of the square that pictures are trained at, a multiple of 8. 16 to 4096; cost grows with its square.
    Default: what the base model was trained at. With `crop: fit` other shapes have about the area of that square.
    Pictures are cropped, never stretched."""
    crop: Crop | None = None
    """What is kept of a picture that is not square: `fit`, the middle of it in the shape near a square's area that cuts
    least, so that a portrait is learned as one (SDXL's shapes, at 1024 px); `center`, its middle square; `random`, a
    square drawn once. The rest is not learned from, and a plan warns where that is over a third: crop to what matters
    first. Default: `fit` for base models of 256 px and more that draw such shapes, else `center`. Costs nothing; each
    shape takes a forward of its own."""
    flip: bool | None = None
    """Also learn from mirrored pictures. Leave it off (default) for anything with a left and a right: text, faces,
    logos. On, it costs one more encoding of each picture at the start."""
    templates: TemplateList | list[Annotated[str, Field(max_length=500)]] | None = None
    """Captions for pictures that have none of their own: the `object` or `style` list of the original paper
    (Gal et al. 2022, arXiv:2208.01618), or lines of your own with `{}` where the concept goes. Default: the list of
    the concept's kind. Costs nothing."""
    samples_per_step: Annotated[int, Field(ge=1, le=256)] | None = None
    """Samples in one step. 1 to 256; cost grows with it, noise in the gradient falls."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Size of a step: most radians for `sphere`, the usual learning rate for `adamw`. Above 0, to 10; more learns
    faster and forgets the prompt sooner. Costs nothing by itself."""
    schedule: Schedule | None = None
    """How the learning rate develops towards `max_steps`: `constant`, `linear` or `cosine` decay. Costs nothing by
    itself; a rate that decays lets the rows settle."""
    max_steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Steps after which training ends in any case. 1 to 100000; cost grows with it unless the stopping rule fires."""
    min_steps: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Steps before which the stopping rule may not fire. 0 to 100000, and at most `max_steps`; cost grows with it
    where the rule would fire sooner."""
    stop: StopRule | None = None
    """When to end: `dvar` once the loss on a fixed batch no longer falls (Voronov et al. 2023, arXiv:2302.04841);
    `fixed` always at `max_steps`. With `fixed` the rows of the last step are kept, otherwise those with the least loss
    on the fixed batch. With both, the looks at that batch cost up to a fifth of the training, unless `stop_every` says
    otherwise."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Of every random draw: the same seed gives the same rows, wherever and in whatever company a concept is learned.
    0 (default) or more. Costs nothing."""
    preview_every: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Draw a small preview picture every so many steps, and one of the rows that are kept, for whoever watches. 0
    (default): none, to 100000; at most 64 in all. Each costs as much as 15 sample passes; what is learned is the same
    with and without."""
    evaluate: bool | None = None
    """Score what was learned, at the end: likeness, whether prompts still work, and the figures that both are measured
    by, in the record; and keep four pictures beside the version, by which versions are compared. On (default), it costs
    as much as about 140 sample passes, which `false` saves; what is learned is the same, and `textinv evaluate` scores
    it later. Scores take a CLIP: the base model's own, or one that the setting `encoders` names. Without either only
    the four pictures are drawn (35 sample passes), and the record says so."""
    share_with_guess: bool | None = None
    """Whether `textinv guess train` may learn from the pictures, to guess the first rows of everybody's next concepts
    on the base model. Off (default), unless the API key that submits the manifest shares what it submits. Rows are the
    same with and without, and it costs nothing. Submitting the manifest again without it takes the pictures back, as
    `textinv concept share NAME --off` does: a guess that learned from them is not used any more."""
    min_size_px: Annotated[int, Field(ge=1, le=16_384)] | None = None
    """Refuse pictures whose shorter side is smaller. 1 to 16384. Default: half of `resolution_px`; pictures smaller
    than `resolution_px` itself give a warning. More than 100 million pixels are always refused. Costs nothing."""
    advanced: AdvancedFields | None = None
    """The methods behind the recipes."""


class ImageEntry(Strict):
    """One picture with what belongs to it."""

    file: Annotated[str, Field(min_length=1)]
    """File, relative to the manifest; or `sha256:...` of a picture that was uploaded before."""
    caption: Annotated[str, Field(max_length=1000)] | None = None
    """What the picture shows, with `{}` or the concept's own `<name>` where the concept goes. It keeps what it names
    (the background, a second thing) out of the concept. Costs nothing."""
    mask: Annotated[str, Field(min_length=1)] | None = None
    """Picture of the same proportions: white where the loss counts, black where it does not. Costs nothing."""


class ConceptFields(TrainingFields):
    """One concept: its name, its pictures, and whatever should differ from the defaults."""

    name: Annotated[str, Field(min_length=1)]
    """Prompts call it `<name>`. A letter or digit, then up to 62 letters, digits, `.`, `_` or `-`, all lower case, at
    least one letter; each name once per manifest."""
    images: Annotated[str, Field(min_length=1)] | Annotated[list[str | ImageEntry], Field(min_length=1)]
    """Its pictures: a folder, a file, a glob (`photos/fox-*.jpg`) or an `s3://bucket/prefix/`; or a list of these, of
    `sha256:...` digests of uploaded pictures, and of entries with `file`, `caption` and `mask`. Relative to the
    manifest. A folder or prefix means what lies in it directly, not what lies in its sub-folders or beside it under a
    longer name; what is passed over is named. 3 to 5 pictures that differ in everything but the concept are best;
    1 works, with less to tell the concept from its background. A `.png` with transparency is learned from where it is
    opaque. More pictures cost nothing."""
    captions: Literal["beside", "ignore"] | None = None
    """`beside` (default): a `.txt` or `.caption` file next to a picture, of the same name (`0.txt`, `0.png.txt`), is
    its caption, with `{}` where the concept goes. `ignore`: such files are not read. Costs nothing."""
    masks: Annotated[str, Field(min_length=1)] | None = None
    """Folder with a mask for each picture, of the same name: white where the loss counts. It takes the place of
    transparency. Costs nothing."""


class Manifest(Strict):
    """What to learn, on which base model."""

    base_model: Annotated[str, Field(min_length=1)]
    """The frozen text-to-image model: `emoji` (the demo base that comes with textinv), an alias from the settings, a
    hub id, a diffusers folder, or a single-file checkpoint; paths are relative to the manifest and start with `.` or
    `/`."""
    revision: Annotated[str, Field(min_length=1)] | None = None
    """Commit, branch or tag of a hub id. Default: its main branch, as it is when the manifest is planned."""
    weights: Literal["auto", "bfloat16", "int8", "nf4"] = "auto"
    """In how many bits the base model's network and text encoders are kept. `auto` (default): bfloat16 on a GPU that
    has it, float32 on a CPU; `bfloat16`; `int8`: linear layers in half of bfloat16's bytes, for a base model that does
    not fit otherwise (`pip install 'textinv[int8]'`); `nf4`: in about a quarter, on a GPU only (`pip install
    'textinv[nf4]'`). Rounded weights are another base model, `NAME?weights=int8`: what is learned on it is drawn on it,
    or on its family with `bases: kin`. Costs some time in each sample pass."""
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What the job is called in listings. Default: the file's name."""
    defaults: TrainingFields = Field(default_factory=TrainingFields)
    """Values for all concepts that do not say otherwise."""
    concepts: Annotated[list[ConceptFields], Field(min_length=1)]
    """What to learn, one entry per concept."""

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """Where the manifest came from: its file, folder and lines."""
        return self._origin

    def with_origin(self, origin: Origin) -> "Manifest":
        """The same manifest, knowing where it came from."""
        self._origin = origin
        return self
