"""The model of ``gdshare train --images`` is the one that a round trains."""

from site_kit import NOW, make_bundle

from gdshare.contributions import read_source, train_from


def test_bundles_give_the_rounds_own_model_bit_for_bit(world, tmp_path):
    for number, site in enumerate(("east", "north", "west")):

        def darker(distilled, by=0.1 * number):
            return type(distilled)(
                distilled.images - by, distilled.labels, distilled.learning_rates
            )

        world.release(site, make_bundle(site, world.keys[site], change=darker))
    world.hold(world.grid(), ensemble=2, seed=5)
    keys = [key.public_key() for key in world.keys.values()]
    folders = [tmp_path / site / "outbox" / f"{site}-1" for site in ("west", "east", "north")]
    sources = [read_source(folder, NOW, keys) for folder in folders]
    model = train_from(sources, "average", seed=5, ensemble=2)
    assert model.to_bytes() == (tmp_path / "out/model/model.safetensors").read_bytes()
