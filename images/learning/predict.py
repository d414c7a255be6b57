"""Classify the same flower by the weights that app.py has saved."""

import json
from pathlib import Path

import numpy as np

model = json.loads(Path("weights.json").read_text())
scores = np.array(model["coef"]) @ [5.9, 3.0, 5.1, 1.8] + model["intercept"]
chances = np.exp(scores) / np.exp(scores).sum()
print(model["names"][chances.argmax()], chances.round(1))
