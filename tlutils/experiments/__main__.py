"""All recorded experiments by name:  python -m tlutils.experiments [NAME] --list --seeds --out"""
from tlutils.experiments.experiment import main

if __name__ == "__main__":
    main()
