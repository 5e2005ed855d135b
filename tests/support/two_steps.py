"""Run by test_training under several backends: a forward pass and two training steps.

Usage: python two_steps.py FOLDER OUTPUT; FOLDER holds start.keras and data.npz.
"""

import sys
from pathlib import Path

import numpy as np

import nlrn_tf
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import first_state
from nlrn_tf.training.step import TrainingStep

folder = Path(sys.argv[1])
data = np.load(folder / "data.npz")
start = nlrn_tf.load_model(folder / "start.keras").config
enlarging = {"task": "sr", "scales": start.scales, "upsample": start.upsample}
config = TrainingConfig.of(**(enlarging if start.scales else {}))
results = {}
for unroll in (False, True):
    model = nlrn_tf.load_model(folder / "start.keras", unroll=unroll)
    step, state = TrainingStep(model, config), first_state(model, config)
    for _ in range(2):
        state, metrics = step(state, [(data["degraded"], data["clean"])], 1e-3)
    results |= {f"{unroll} {name}": np.asarray(value) for name, value in metrics.items()}
    for part in ("trainable", "non_trainable", "momentum"):
        for name, value in state[part].items():
            results[f"{unroll} {part} {name}"] = np.asarray(value)
    results[f"{unroll} output"] = np.asarray(model(data["image"]))
np.savez(folder / sys.argv[2], **results)
