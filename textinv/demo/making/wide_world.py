"""The wider world that a demo base learns from: groups of pictures that share one thing, or one way of drawing.

Composes on top of `textinv.demo.world`, which stays what it is. Every picture of a group has a caption in plain words,
and, where the group shares something, one in which a learned word stands for that (`{}`), as a person would prompt for
it: so a base learns to draw from a word that only other pictures of the group explain. Held-out objects, the held-out
drawing style and what comes near a held-out effect are never in it. Does not know latents or models.

Every group is a function of the random stream that is handed in.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from textinv.demo.icons import STYLE_WORDS, Sprite, Sprites
from textinv.demo.making.drawn_looks import describe_look, sample_look
from textinv.demo.making.looks import Look, redraw
from textinv.demo.making.made_things import bend, cover, make_creature, make_shape, mix, take_part, words_of
from textinv.demo.making.train_clip import clip_worlds
from textinv.demo.world import COLOURS, PICTURE_PX, SIZES_PX, Odds, Scene, Thing, World, a, draw

GROUP = 4
"""Pictures of a group: as many as concepts are usually taught with."""
MADE = "made"
"""The drawing style of a thing that is no artwork as it stands."""
PLAIN, THING, LOOK = "plain", "thing", "look"


@dataclass(frozen=True)
class Shown:
    """One picture of a group and its captions."""

    image: Image.Image
    caption: str
    word_caption: str | None
    """With `{}` where a word for what the group shares belongs; None where it shares nothing."""
    scene: Scene
    look: Look | None = None
    shared: str = ""
    """What the group shares, in words: `dotted teal noto fox`. Empty where it shares nothing, or no word says it."""


@dataclass(frozen=True)
class Shares:
    """How often each kind of group is composed."""

    plain: float = 0.35
    thing: float = 0.4
    look: float = 0.25


@dataclass(frozen=True)
class WideWorld:
    """Which artwork exists, and how often each kind of group is composed."""

    plain: Sequence[World]
    """Worlds of unrelated scenes; the last one holds every object and style."""
    shares: Shares = Shares()
    size: int = GROUP
    """Pictures of a group."""
    made: float = 0.5
    """Share of the things that no artwork shows as it stands, at most 0.5; at 0, none is bent or covered, either."""

    @property
    def all(self) -> World:
        """The world of every object and style."""
        return self.plain[-1]

    def group(self, rng: random.Random) -> tuple[str, list[Shown]]:
        """Compose one group; returns its kind too."""
        kinds: dict[str, tuple[float, Callable[[random.Random], list[Shown]]]] = {
            PLAIN: (self.shares.plain, self.unrelated),
            THING: (self.shares.thing, self.one_thing),
            LOOK: (self.shares.look, self.one_look),
        }
        kind = rng.choices(list(kinds), [share for share, _ in kinds.values()])[0]
        return kind, kinds[kind][1](rng)

    def unrelated(self, rng: random.Random) -> list[Shown]:
        """Scenes of the plain worlds, which share nothing."""
        shown = []
        for _ in range(self.size):
            world = rng.choice(self.plain)
            scene, caption = world.sample(rng)
            shown.append(Shown(draw(scene, world.sprites), caption, None, scene))
        return shown

    def one_thing(self, rng: random.Random) -> list[Shown]:
        """One thing, alone and beside others, on several backgrounds and in several sizes."""
        thing, sprite = self._thing(rng)
        sprites = {**self.all.sprites, (thing.style, thing.object): sprite}
        world = replace(self.all, sprites=sprites)
        shown = []
        for background in rng.sample(list(COLOURS), self.size):
            scene = self._scene_of(thing, background, rng)
            word_caption = _with_word(scene, thing, world, rng)
            picture, caption = draw(scene, sprites), world.caption(scene, rng)
            shown.append(Shown(picture, caption, word_caption, scene, shared=world.describe_thing(thing, _Talkative())))
        return shown

    def _thing(self, rng: random.Random) -> tuple[Thing, Sprite]:
        thing = self.all.sample_thing(rng)
        sprite = self.all.sprites[thing.style, thing.object]
        words, kind = thing.object, rng.random() * 0.5 / self.made if self.made else 1.0
        if kind < 0.15:
            sprite, words = make_shape(rng)
        elif kind < 0.28:
            sprite, words = make_creature(rng)
        elif kind < 0.38:
            sprite, words = take_part(sprite, words, rng)
        elif kind < 0.5:
            other = self.all.sample_thing(rng)
            sprite, words = mix((sprite, words), (self.all.sprites[other.style, other.object], other.object), rng)
        altered = 2 * self.made
        if rng.random() < 0.25 * altered:
            sprite = bend(sprite, rng)
        if thing.pattern is None and rng.random() < 0.3 * altered:
            sprite, pattern = cover(sprite, rng)
            words = f"{pattern} {words}"
        if words == thing.object:
            return thing, sprite
        hue_deg = thing.hue_deg if kind >= 0.28 else 0.0  # the words of what is made of shapes say its colour
        return replace(thing, object=words_of([words]), style=MADE, hue_deg=hue_deg), sprite

    def _scene_of(self, thing: Thing, background: str, rng: random.Random) -> Scene:
        effect = rng.choice(("pixel art", "sketch", "silhouette")) if rng.random() < 0.06 else None
        if rng.random() < 0.16:
            other = thing if rng.random() < 0.5 else self.all.sample_thing(rng)
            things = [thing, other]
            rng.shuffle(things)
            offsets = tuple((rng.uniform(-1, 1), rng.uniform(-4, 4)) for _ in range(2))
            return Scene(tuple(things), background, effect=effect, offsets_px=offsets)
        size = rng.choices(("small", "normal", "large"), (25, 50, 25))[0]
        return Scene((thing,), background, size, effect, offsets_px=(_offset(size, rng),))

    def one_look(self, rng: random.Random) -> list[Shown]:
        """Several things drawn in one way: at a point of the space of looks, through an effect, or by one artist."""
        kind = rng.random()
        look = sample_look(rng) if kind < 0.7 else None
        effect = rng.choice(("sketch", "pixel art", "neon", "watercolor", "duotone")) if 0.7 <= kind < 0.85 else None
        style = self._plain_thing(None, rng).style if kind >= 0.85 else None
        colours = rng.sample(list(COLOURS), 2)
        said = describe_look(look, rng) if look else STYLE_WORDS[style] if style else effect
        if effect == "duotone":
            said = f"{colours[0]} and {colours[1]} duotone"
        shown = []
        for background in rng.sample(list(COLOURS), self.size):
            thing = self._plain_thing(style, rng)
            size = rng.choices(("small", "normal", "large"), (25, 50, 25))[0]
            scene = Scene((thing,), background, size, effect, (colours[0], colours[1]), (_offset(size, rng),))
            picture = draw(scene, self.all.sprites)
            picture = redraw(picture, look) if look else picture
            shows_background = style is not None or (look is not None and not look.palette)
            words = f"{a(thing.object.replace('-', ' '))} in {{}} style"
            if shows_background and rng.random() < 0.7:
                words += f" on {a(background)} background"
            caption = words.format(said) if rng.random() < 0.9 else words.replace(" in {} style", "")
            shown.append(Shown(picture, caption, words, scene, look, said or ""))
        return shown

    def _plain_thing(self, style: str | None, rng: random.Random) -> Thing:
        world = self.all
        while True:
            key = (style or rng.choice(list(world.styles)), rng.choice(list(world.objects)))
            if key in world.sprites:
                return Thing(key[1], key[0])


class _Talkative(random.Random):
    """Leaves nothing out that could be said."""

    def random(self) -> float:
        return 0.0


def _offset(size: str, rng: random.Random) -> tuple[float, float]:
    margin = (PICTURE_PX - SIZES_PX[size]) / 2
    return rng.uniform(-0.6, 0.6) * margin, rng.uniform(-0.6, 0.6) * margin


def _with_word(scene: Scene, thing: Thing, world: World, rng: random.Random) -> str:
    """Ask for a scene as a person would who has a word for the thing that its group shares."""
    if len(scene.things) == 2:
        first, second = scene.things
        if first == second:
            text = "two {}"
        else:
            mine = scene.things.index(thing)
            others = a(world.describe_thing(scene.things[1 - mine], rng))
            text = f"a {{}} and {others}" if mine == 0 else f"{others} and a {{}}"
    else:
        text = rng.choices(("a {}", "{}", "a photo of a {}", "an emoji of a {}"), (60, 10, 20, 10))[0]
        if scene.size != "normal" and rng.random() < 0.3:
            text = text.replace("{}", f"{scene.size} {{}}")
    if scene.effect != "sketch" and rng.random() < 0.75:
        text += f" on {a(scene.background)} background"
    if scene.effect:
        text = f"{a(scene.effect)} of {text}" if rng.random() < 0.5 else f"{text} in {scene.effect} style"
    return text


def wide_world(sprites: Sprites) -> WideWorld:
    """The world to train on: twice what the base is measured by, and every object and style that is not held out."""
    narrow, wide = (replace(world, odds=Odds(two=0.42, same_two=0.3)) for world in clip_worlds(sprites))
    return WideWorld((narrow, narrow, wide))
