"""Train a small model, save its weights, and classify one flower."""

import json
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

iris = load_iris()
model = LogisticRegression(max_iter=1000).fit(iris.data, iris.target)
weights = {"names": list(iris.target_names), "coef": model.coef_.tolist(), "intercept": model.intercept_.tolist()}
Path("weights.json").write_text(json.dumps(weights))

chances = model.predict_proba([[5.9, 3.0, 5.1, 1.8]])[0]
print(iris.target_names[chances.argmax()], chances.round(1))
