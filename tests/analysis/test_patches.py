"""What patches are mixed of: cut from the images, a known mixture is found again, wrong words are refused."""
import numpy as np
import pytest

from tlutils import analysis


def test_patches_are_cut_from_the_images_and_have_no_mean():
    images = np.arange(2 * 6 * 5, dtype=np.uint8).reshape(2, 6, 5)
    found = analysis.patches(images, 3, 50, seed=0)
    assert found.shape == (50, 3, 3)
    every = [images[i, r:r + 3, c:c + 3] / 127.5 for i in range(2) for r in range(4) for c in range(3)]
    every = np.array([patch - patch.mean() for patch in every])
    assert all(np.abs(every - patch).max((1, 2)).min() < 1e-12 for patch in found)
    assert np.array_equal(found, analysis.patches(images, 3, 50, seed=0))
    np.testing.assert_allclose(found.mean((1, 2)), 0, atol=1e-12)


def test_every_place_is_cut_out_the_last_one_too():
    images = np.zeros((1, 3, 3), np.uint8)
    images[0, 2, 2] = 255
    found = analysis.patches(images, 2, 200, seed=1)
    assert (found[:, 1, 1] > 1).any() and (found[:, 1, 1] == 0).any()


@pytest.mark.parametrize("coding, least", [("ICA", 0.97), ("sparse coding", 0.9)])
def test_sparse_independent_sources_are_found_again(coding, least):
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.normal(size=(16, 16)))[0][:4]                       # four patterns of 4 x 4
    weights = rng.laplace(size=(16000, 4)) * (rng.random((16000, 4)) < 0.3) * 5
    found = analysis.patch_basis((weights @ atoms).reshape(-1, 4, 4), coding, 4, seed=0).reshape(4, 16)
    alike = np.abs(found @ atoms.T)
    assert (alike.max(1) > least).all() and sorted(alike.argmax(1)) == [0, 1, 2, 3]


def test_principal_components_are_those_of_the_covariance():
    found = np.random.default_rng(0).normal(size=(500, 3, 3)) * np.arange(1, 10).reshape(3, 3)
    basis = analysis.patch_basis(found, "PCA", 2, seed=0).reshape(2, 9)
    vectors = np.linalg.eigh(np.cov(found.reshape(500, 9).T))[1][:, ::-1]
    np.testing.assert_allclose(np.abs((basis * vectors.T[:2]).sum(1)), 1, atol=1e-6)


@pytest.mark.parametrize("coding", analysis.CODINGS)
def test_a_basis_has_unit_energy_and_is_fixed_by_its_seed(coding):
    found = np.random.default_rng(0).normal(size=(300, 4, 4))
    basis = analysis.patch_basis(found, coding, 5, seed=3)
    assert basis.shape == (5, 4, 4)
    np.testing.assert_allclose((basis**2).sum((1, 2)), 1)
    assert np.array_equal(basis, analysis.patch_basis(found, coding, 5, seed=3))


def test_wrong_arguments_are_named():
    images = np.zeros((2, 6, 6), np.uint8)
    for wrong in ({"images": images[0]}, {"side": 7}, {"side": 0}, {"n": 0}):
        with pytest.raises(ValueError, match="images must be"):
            analysis.patches(**{"images": images, "side": 3, "n": 5, "seed": 0} | wrong)
    with pytest.raises(ValueError, match="got 'NMF'"):
        analysis.patch_basis(np.zeros((9, 2, 2)), "NMF", 2, 0)
