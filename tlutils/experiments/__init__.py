"""One file a recorded experiment, and the shape of all of them (`experiment`):  python -m tlutils.experiments --list"""
