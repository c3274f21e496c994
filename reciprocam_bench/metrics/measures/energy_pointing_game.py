"""Energy-based pointing game: how much of the map lies on the object."""

from torch import Tensor

from reciprocam_bench.metrics.registry import metric


@metric("energy_pointing_game", title="Energy", higher_is_better=True)
def energy_pointing_game(located: Tensor, objects: Tensor) -> Tensor:
    """``sum of M on the object / sum of M`` (Wang et al. 2020, 1910.01279), ``(G, H, W), (G, H, W) -> (G,)``.

    Pitfall: a large object catches the energy of any map; compare with `center` and `random`.
    """
    energy = located.clamp(min=0)
    total = energy.sum((1, 2))
    return (energy * objects).sum((1, 2)) / total.where(total > 0, total.new_tensor(1.0))
