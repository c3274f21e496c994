"""The first principal component: numpy's own singular vectors, and a sign that is no accident."""

import numpy as np
import pytest
import torch

from reciprocam_bench.explainers.principal_component import first_component


def by_numpy(maps: torch.Tensor, centred: bool) -> np.ndarray:
    """Projection on the first right singular vector, turned to agree with the sum over channels."""
    found = []
    for channels in maps.double().numpy():
        cells = channels.reshape(len(channels), -1).T
        rows = cells - cells.mean(0) if centred else cells
        projected = rows @ np.linalg.svd(rows)[2][0]
        found.append(projected * (1 if (projected * cells.sum(1)).sum() >= 0 else -1))
    return np.stack(found).reshape(len(maps), *maps.shape[2:])


@pytest.mark.parametrize("shape", [(2, 9, 3, 4), (2, 5, 4, 4), (1, 40, 2, 3)])
@pytest.mark.parametrize("centred", [False, True])
def test_it_is_the_first_principal_component(shape, centred):
    maps = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        first_component(maps, centred), torch.tensor(by_numpy(maps, centred), dtype=torch.float32), rtol=1e-4, atol=1e-4
    )


def test_the_sign_follows_the_features_and_not_the_solver():
    maps = torch.rand(3, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first_component(-maps), -first_component(maps), rtol=1e-4, atol=1e-5)
    assert (first_component(maps) > 0).all()  # features without a negative have one of one sign


def test_a_channel_that_is_on_at_one_place_lights_that_place():
    maps = torch.zeros(1, 3, 4, 4)
    maps[0, 1, 2, 3] = 5.0
    assert first_component(maps).flatten().argmax() == 2 * 4 + 3
    assert first_component(torch.zeros(1, 3, 4, 4)).abs().max() == 0


def test_an_image_with_a_nan_spoils_no_other():
    maps = torch.rand(3, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = first_component(maps)
    maps[1, 0, 0, 0] = torch.nan
    found = first_component(maps)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])


def test_half_precision_is_decomposed_in_single():
    maps = torch.rand(2, 6, 4, 4, generator=torch.Generator().manual_seed(1)).half()
    assert first_component(maps).dtype == torch.float16
    torch.testing.assert_close(first_component(maps).float(), first_component(maps.float()), rtol=1e-2, atol=1e-2)
