"""From chunks to what is carried out, by hand, and the settings of it."""

import numpy as np
import pytest

from glam_jax.serve import service
from glam_jax.serve.actions import Ensemble, Receding


def changed(**values):
    made = service.settings()
    made.update(values)
    return made


@pytest.mark.parametrize(
    ("values", "said"), [({"mode": "both"}, "chunk or ensemble"), ({"execute": 7}, "1 to 6")]
)
def test_impossible_execution_is_refused(values, said):
    with pytest.raises(service.SettingsError, match=said):
        service.execute(changed(**values), 6, 4)
    assert service.execute(service.settings(), 6, 4) == 4


def chunk(values):
    return np.array(values, np.float64)[:, None]


def test_receding_horizon_is_the_head():
    assert Receding(2).actions(chunk([1, 2, 3])).tolist() == [[1], [2]]


def test_the_ensemble_averages_what_was_planned_for_now():
    ensemble = Ensemble(3, decay=np.log(2))  # weights 1, 1/2, 1/4, the oldest first
    assert ensemble.actions(chunk([1, 2, 3])).tolist() == [[1]]
    np.testing.assert_allclose(ensemble.actions(chunk([5, 6, 7])), [[(2 + 5 / 2) / 1.5]])
    np.testing.assert_allclose(ensemble.actions(chunk([9, 0, 0])), [[(3 + 6 / 2 + 9 / 4) / 1.75]])
    # The first chunk has nothing to say about the fourth step.
    np.testing.assert_allclose(ensemble.actions(chunk([8, 0, 0])), [[(7 + 0 / 2 + 8 / 4) / 1.75]])


def test_an_episode_begins_without_old_plans():
    ensemble = Ensemble(3, 0.01)
    ensemble.actions(chunk([100, 100, 100]))
    ensemble.reset()
    assert ensemble.actions(chunk([1, 2, 3])).tolist() == [[1]]
