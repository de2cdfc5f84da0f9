"""Every figure is drawn with what it must show, also from one particle; the report is one file and
whole.
"""

import numpy as np
import pytest

from cryoposes_plugin.commands.report import append_figures, write_report
from cryoposes_plugin.core import plots
from cryoposes_plugin.core.evaluation.views import sampling_compensation_factor
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.plots import direction_maps, png_bytes
from cryoposes_plugin.core.plots.directions import direction_density

PNG = b"\x89PNG"


def drawn(figure):
    content = png_bytes(figure)
    assert content.startswith(PNG)
    assert len(content) > 5000
    return figure


def texts(figure):
    return " ".join(
        t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text"))
    )


@pytest.mark.parametrize("number", [1, 7, 500])
def test_distributions_of_any_number(rng, number):
    errors = rng.gamma(2, 4, number)
    drawn(direction_maps({"all": random_rotations(number, rng)}))
    drawn(plots.error_against_uncertainty(-1 / errors, errors))
    figure = drawn(plots.error_histogram(errors))
    assert f"median {np.median(errors):.2f}°" in texts(figure)
    assert f"{100 * np.mean(errors < 5):.1f} % below 5°" in texts(figure)


def test_errors_of_zero_and_equal_scores():
    drawn(plots.error_histogram(np.zeros(3)))
    drawn(plots.uncertainty_histogram(np.full(4, -2.0), threshold=-2.0))
    figure = drawn(plots.uncertainty_histogram(np.full(4, -2.0), name="cryoposesExpectedErrorDeg"))
    assert "expected error (°)" in texts(figure)
    assert "accepted" not in texts(figure)


def test_the_histogram_counts_what_is_accepted(rng):
    scores = -rng.gamma(2, 100, 400)
    accepted = scores <= -150.0
    figure = drawn(
        plots.uncertainty_histogram(scores, accepted, "cryoposesTrace", threshold=-150.0)
    )
    assert f"accepted: {accepted.sum()}" in texts(figure)
    assert f"rejected: {400 - accepted.sum()}" in texts(figure)
    heights = sum(patch.get_height() for patch in figure.axes[0].patches)
    assert heights == 400


def test_the_direction_map_is_even_for_even_directions(rng):
    density = direction_density(random_rotations(20000, rng))
    assert density.mean() == pytest.approx(1.0)
    expected_per_bin = 20000 / density.size
    assert density.std() == pytest.approx(expected_per_bin**-0.5, rel=0.1)


def test_learning_curve_with_and_without_validation():
    steps = np.arange(50)
    figure = drawn(
        plots.learning_curve(
            steps, 1 / (1 + steps), steps[::10], 90 - steps[::10], np.sin(steps / 50)
        )
    )
    assert "50.0° at the end" in texts(figure)
    drawn(plots.learning_curve(steps, 1 / (1 + steps)))
    drawn(plots.learning_curve([], []))


def test_fsc_shows_labels_thresholds_and_the_note():
    frequency = np.linspace(0, 0.1, 20)
    figure = drawn(
        plots.fsc_curve(
            frequency,
            {"masked": 1 - 5 * frequency, "randomised": 0 * frequency},
            note="not independent",
        )
    )
    for text in ("masked", "randomised", "0.143", "0.5", "not independent", "10"):
        assert text in texts(figure)


def test_volume_slices_have_angstrom_axes(asymmetric_volume):
    figure = drawn(plots.volume_slices(asymmetric_volume.data, 5.0))
    image = figure.axes[0].images[0]
    assert image.get_extent() == [-122.5, 117.5, -122.5, 117.5]
    np.testing.assert_array_equal(image.get_array(), asymmetric_volume.data[:, :, 24].astype(float))
    drawn(plots.volume_slices(np.zeros((8, 8, 8)), 5.0))


def test_one_section_is_the_slice_that_was_asked_for(asymmetric_volume):
    data = asymmetric_volume.data
    for axis, expected in (("x", data[:, :, 7]), ("y", data[:, 7]), ("z", data[7])):
        figure = drawn(plots.volume_section(data, 5.0, axis, 7))
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), expected)
        assert f"{axis} = -85.0 Å (slice 8 of 48)" in figure.axes[0].get_title(loc="left")


def test_the_gallery_shows_every_image_and_the_density_every_pair(rng):
    figure = drawn(plots.image_gallery(rng.normal(size=(7, 8, 8)), [f"id {i}" for i in range(7)]))
    assert sum(len(axes.images) for axes in figure.axes) == 7
    true = rng.uniform(0, 180, 900)
    figure = drawn(plots.distance_density(true, true))
    counts = np.ma.filled(figure.axes[0].collections[0].get_array(), 0).reshape(60, 60)
    assert counts.sum() == 900
    assert np.trace(counts) == 900


def test_direction_maps_of_several_sets_share_one_scale(rng):
    everywhere, pole = random_rotations(3000, rng), np.repeat(np.eye(3)[None], 60, axis=0)
    figure = drawn(direction_maps({"all": everywhere, "accepted": pole}))
    meshes = [axes.collections[0] for axes in figure.axes[:4]]
    assert len({mesh.get_clim() for mesh in meshes}) == 1
    density = direction_density(everywhere)
    assert density.mean() == pytest.approx(1.0)
    assert (direction_density(pole) > 0).sum() == 1
    assert direction_density(pole).mean() == pytest.approx(1.0)
    assert direction_density(pole)[-1].max() > 0, (
        "the beam along z of the volume is tilt 0: the last row"
    )


def test_particles_beside_reprojections_names_the_correlation(rng):
    images = rng.normal(size=(2, 16, 16))
    figure = drawn(
        plots.particles_beside_reprojections(
            images, np.stack([images[0], -images[1]]), ["11", "12"]
        )
    )
    assert "cc 1.00" in texts(figure)
    assert "cc -1.00" in texts(figure)
    assert "12" in texts(figure)


def test_report_is_one_escaped_page(tmp_path):
    write_report(
        tmp_path,
        "A <b> run",
        lead="one & two",
        notes=["not < independent"],
        numbers={"median_angular_error_deg": 3.14159, "kept": True, "inner": {"shift_px": None}},
        figures={"errors": ("caption & more", plots.error_histogram(np.arange(5.0)))},
    )
    page = (tmp_path / "report.html").read_text()
    for text in (
        "A &lt;b&gt; run",
        "one &amp; two",
        "not &lt; independent",
        "median angular error [°]",
        "3.142",
        "yes",
        "<h2>inner</h2>",
        "shift [px]",
        "data:image/png;base64,",
        "caption &amp; more",
    ):
        assert text in page
    assert page.endswith("</html>\n")
    assert "http" not in page
    assert (tmp_path / "errors.png").read_bytes()[:4] == b"\x89PNG"


def test_figures_are_added_to_the_end_of_a_report(tmp_path):
    write_report(tmp_path, "A run", numbers={"kept": True}, figures={})
    append_figures(tmp_path, {"more": ("One more.", plots.error_histogram(np.arange(5.0)))})
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") == 1
    assert page.index("One more.") < page.index("</body>")
    assert page.endswith("</html>\n")
    assert (tmp_path / "more.png").exists()


def test_the_coverage_marks_unseen_directions(rng):
    sampling = sampling_compensation_factor(np.eye(3)[None].repeat(50, axis=0), np.eye(3)[None])
    figure = drawn(plots.slices_by_direction(sampling.directions, sampling.slices, "Coverage"))
    seen, unseen = (len(c.get_offsets()) for c in figure.axes[0].collections[:2])
    assert unseen / (seen + unseen) == pytest.approx(sampling.unseen_share)
    assert "not seen" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_fsc_by_direction_leaves_out_shells_without_values():
    curves = np.linspace(1, 0, 9) * np.array([[0.8], [1.0]])
    curves[:, :3] = np.nan
    figure = drawn(plots.fsc_by_direction(np.arange(9) / 80, curves, "by direction"))
    mean = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(mean, 0.9 * np.linspace(1, 0, 9)[3:])
