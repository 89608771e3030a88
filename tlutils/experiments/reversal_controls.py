"""The controls of chapter 9 under the name that their recorded commands use; they are presets of `reversal`."""
from tlutils.experiments import experiment

EXPERIMENT = experiment.load("reversal")
PRESETS = {name: preset for name, preset in EXPERIMENT.presets.items() if name.endswith("_controls")}

if __name__ == "__main__":
    EXPERIMENT.main()
