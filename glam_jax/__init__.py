"""glam_jax: robot policies from heterogeneous demonstrations, by grounded latent-action models."""


def load_policy(workdir):
    """The trained policy of a run's folder, a function of numpy arrays; see `policy.load_policy`.

    >>> policy = glam_jax.load_policy("runs/lifting_glam_o_quick_seed0")    # doctest: +SKIP
    >>> actions = policy(observation)                                       # doctest: +SKIP
    """
    # Here, for importing the package, or its client, must not import JAX.
    from glam_jax.serve import policy

    return policy.load_policy(workdir)
