"""What LAPA's training does besides following gradients: unused codes start anew near used ones."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from glam_jax.models import lapa
from glam_jax.runtime.loop import Metrics
from glam_jax.runtime.optim import TrainState


def make_amend(run: ConfigDict):
    """amend(state, metrics, key) -> (state, metrics), for `loop.make_train_step`.

    A code is dead if no transition of the batch took it. Every `run.reseed_every` updates, up to
    the share `run.reseed_until` of the run, dead codes are replaced, in the parameters and in
    their average. Nothing is counted from batch to batch, so that the train state needs no more
    than parameters: a batch asks for hundreds of codes, of which a code in use gets some.

    The metric `code_share` (K,) becomes two to log: `code_perplexity` and `dead_codes`, of the
    batch, before any are replaced.
    """

    def amend(state: TrainState, metrics: Metrics, key: jax.Array) -> tuple[TrainState, Metrics]:
        share_K = metrics["code_share"]
        dead_K = share_K == 0
        logged = {name: value for name, value in metrics.items() if name != "code_share"}
        logged["code_perplexity"] = lapa.perplexity(share_K)
        logged["dead_codes"] = dead_K.sum().astype(jnp.float32)

        due = (state.step % run.reseed_every == 0) & (state.step <= run.reseed_until * run.steps)
        fresh_KxD = lapa.reseeds(state.params["params"]["codebook"], share_K, key)

        def reseeded(params):
            old = params["params"]["codebook"]
            new = jnp.where(due & dead_K[:, None], fresh_KxD, old)
            return {**params, "params": {**params["params"], "codebook": new}}

        return state.replace(params=reseeded(state.params), ema=reseeded(state.ema)), logged

    return amend
