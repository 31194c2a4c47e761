"""Client of a policy server: numpy, msgpack and websockets alone, Python 3.8 or later.

It comes with glam_jax as `glam_jax.client`, and by itself as `glam_jax_client`:

    pip install ./glam_jax/client

    >>> from glam_jax_client import Actor, PolicyClient       # doctest: +SKIP
    >>> with PolicyClient("127.0.0.1", 8000) as client:       # doctest: +SKIP
    ...     actor = Actor(client)
    ...     action = actor.act(observation)
"""

from .actor import Actor
from .policy_client import PolicyClient
from .reply import PolicyError, ReplyError
from .wire import WireError

__all__ = ["Actor", "PolicyClient", "PolicyError", "ReplyError", "WireError"]
