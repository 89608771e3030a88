"""Controls for chapter 9: the source alone with the normalisation, dropout or patience of what it is held against."""
import dataclasses

from tlutils.experiments import record, reversal


def controls(config: reversal.Config) -> dict[str, dict]:
    """Return each control as a change of config: what naive and batch norm change, and DANN's steps and rate."""
    batch = {"norm": "batch"}
    return {"source, batch norm": batch, "source, naive": batch | {"dropout": 0.0},
            "source, long": {"source_steps": config.steps, "plain_lr": config.lr}}


def run(config: reversal.Config, seed: int) -> list[dict]:
    """Return the rows of `reversal.run` for every control that config.variants names.

    Errors: ValueError for a name that is no control.
    """
    known, rows = controls(config), []
    for name in config.variants:
        if name not in known:
            raise ValueError(f"variants must be among {', '.join(known)}, got {name!r}")
        here = dataclasses.replace(config, variants=("source",), **known[name])
        rows += [row | {"method": name} for row in reversal.run(here, seed)]
    return rows


TEXTURED = dataclasses.replace(reversal.TEXTURED, variants=tuple(controls(reversal.TEXTURED)))
HANDWRITING = dataclasses.replace(reversal.HANDWRITING, variants=("source, long",))
REVIEWS = dataclasses.replace(reversal.REVIEWS, variants=("source, long",))
MNIST_M = dataclasses.replace(reversal.MNIST_M, variants=("source, naive", "source, long"))
QUESTION = "what has the source alone by the same means?"
PRESETS = {"textured_controls": (f"Printed digits -> on photographs: {QUESTION}", TEXTURED),
           "handwriting_controls": (f"Printed digits -> handwriting: {QUESTION}", HANDWRITING),
           "reviews_controls": (f"Reviews of books -> reviews of kitchen goods: {QUESTION}", REVIEWS),
           "mnist_m_controls": (f"MNIST -> MNIST-M: {QUESTION}", MNIST_M)}

if __name__ == "__main__":
    record.main("tlutils.experiments.reversal_controls", reversal.CHAPTER, PRESETS, run, reversal.describe)
