"""An episode by openpi's own client, in the Python that it is installed in: numpy below 2.

    python openpi_episode.py PORT TOKEN OBSERVATIONS.npz OUT.npz

Observations are arrays named `STEP/key`. Writes the actions of each step, the task that the server
names, and what it said to an observation without `ee_pose`.
"""

import sys

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

port, token, observations, out = sys.argv[1:]
steps = {}
for name, array in np.load(observations).items():
    step, key = name.split("/")
    steps.setdefault(step, {})[key] = array
client = WebsocketClientPolicy("127.0.0.1", int(port), api_key=token)
found = {"task": client.get_server_metadata()["task"]}
for step, observation in steps.items():
    found[step] = client.infer({**observation, "prompt": "lift the cube"})["actions"]
try:
    client.infer({key: value for key, value in observation.items() if key != "ee_pose"})
except RuntimeError as error:
    found["error"] = str(error)
client.infer(observation)  # The connection goes on.
np.savez(out, **found)
