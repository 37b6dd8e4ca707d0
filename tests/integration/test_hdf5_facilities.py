"""Files as facilities write them: in parts that link to each other, by Data Exchange, with h5py's own compression."""

import h5py
import numpy as np

from test_hdf5 import COUNT, GEOMETRY, HEIGHT, INNER, TRANSMISSION, WIDTH, check_maps, reconstruct, scene, write  # noqa: F401


def test_the_filter_of_h5py_is_not_looked_for(scene, tmp_path):
    """LZF is in neither of the packages that the message for the others names."""
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["reference"] = scene[0]
        file.create_dataset("sample", data=scene[1], chunks=(1, HEIGHT, WIDTH), compression="lzf")
    err = reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", code=1)
    assert "lzf" in err and "gzip" in err and "hdf5plugin" not in err


def linked(folder, sample):
    """A master file with external links to two data files, as detectors write it, and with the two as one virtual dataset."""
    layout = h5py.VirtualLayout(shape=sample.shape, dtype=sample.dtype)
    half = len(sample) // 2
    for number, part in enumerate((np.s_[:half], np.s_[half:])):
        write(folder / f"data_{number}.h5", data=sample[part])
        layout[part] = h5py.VirtualSource(f"data_{number}.h5", "data", shape=sample[part].shape)
    with h5py.File(folder / "master.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("data_0.h5", "/data")
        file["entry/data/data_000002"] = h5py.ExternalLink("data_1.h5", "/data")
        file.create_virtual_dataset("whole", layout)
    return folder / "master.h5"


def test_files_that_are_in_several_parts(scene, tmp_path):
    reference = write(tmp_path / "reference.h5", scene[0])
    master = linked(tmp_path, np.concatenate([scene[1], scene[1]]))
    words = ["--reference", reference, "-o", tmp_path / "out.h5", "--overwrite"]
    reconstruct("--sample", master, *words)
    check_maps(tmp_path / "out.h5")
    reconstruct("--sample", f"{master}:/whole", *words)
    check_maps(tmp_path / "out.h5", 2)
    err = reconstruct("--sample", f"{master}:/entry", *words, code=2)
    assert "no dataset" in err


def test_a_missing_part_is_named(scene, tmp_path):
    """A part that was not copied reads as zeros in a virtual dataset, and as nothing behind an external link."""
    reference = write(tmp_path / "reference.h5", scene[0])
    words = ["--reference", reference, "-o", tmp_path / "out.h5"]
    master = linked(tmp_path, np.concatenate([scene[1], scene[1]]))
    (tmp_path / "data_1.h5").unlink()
    assert "data_1.h5 is not there" in reconstruct("--sample", f"{master}:/whole", *words, code=2)
    (tmp_path / "data_0.h5").unlink()
    assert "link to data_0.h5:/data" in reconstruct("--sample", master, *words, code=2)
    with h5py.File(tmp_path / "detector.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("elsewhere.h5", "/data")
    assert "link to elsewhere.h5:/data" in reconstruct("--sample", tmp_path / "detector.h5", *words, code=2)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["scan/images"] = h5py.ExternalLink("elsewhere.h5", "/data")
    assert "it has /scan/images" in reconstruct("--sample", tmp_path / "other.h5", *words, code=2)


def master(folder, sample, lengths):
    """What a Dectris detector leaves: a file with links to files of so many images each."""
    start = 0
    with h5py.File(folder / "master.h5", "w") as file:
        for number, length in enumerate(lengths, 1):
            write(folder / f"data_{number}.h5", data=sample[start:start + length])
            file[f"entry/data/data_{number:06}"] = h5py.ExternalLink(f"data_{number}.h5", "/data")
            start += length
    return folder / "master.h5"


def test_master_files(scene, tmp_path):
    """Stacks go across the files; the second has twice the transmission, so that an image at a wrong place shows."""
    reference, sample = write(tmp_path / "reference.h5", scene[0]), np.concatenate([scene[1], 2 * scene[1], scene[1]])
    words = ["--reference", reference, "-o", tmp_path / "out.h5", "--overwrite"]
    for lengths in ((4, 4, 4, 3), (15,), (5, 5, 5), (7, 7, 1)):
        path = master(tmp_path, sample, lengths)
        for name in (path, f"{path}:/entry/data"):
            reconstruct("--sample", name, *words)
            with h5py.File(tmp_path / "out.h5") as file:
                medians = np.median(file["entry/maps/transmission"][INNER], (1, 2))
            np.testing.assert_allclose(medians, np.array([1, 2, 1]) * TRANSMISSION, rtol=5e-3)
    assert "unequal length" in reconstruct("--sample", master(tmp_path, sample, (4, 3, 4, 4)), *words, code=2)
    assert "unequal length" in reconstruct("--sample", master(tmp_path, sample, (4, 5, 4)), *words, code=2)
    path = master(tmp_path, sample, (4, 4, 4, 3))
    write(tmp_path / "data_2.h5", data=sample[:4, :-1])
    assert "data_000002 does not hold images as data_000001" in reconstruct("--sample", path, *words, code=2)


def test_tiffs_have_to_be_named(tmp_path):
    """A folder of TIFFs has no names inside that tell references from samples."""
    (tmp_path / "scan").mkdir()
    assert "name them `sample`" in reconstruct(tmp_path / "scan", "-o", tmp_path / "out.h5", code=2)


def test_data_exchange(scene, tmp_path):
    """Darks and whites of a Data Exchange file are taken with its images."""
    reference, sample = scene
    dark = np.full((2, HEIGHT, WIDTH), 3.0)
    white = dark + np.linspace(1, 2, WIDTH)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.attrs.update(GEOMETRY)
        file["exchange/data"] = sample * (white - dark)[0] + dark[0]
        file["exchange/data_dark"], file["exchange/data_white"] = dark, white
    write(tmp_path / "reference.h5", reference * (white - dark)[0] + dark[0])
    out = reconstruct(tmp_path / "scan.h5", "--reference", tmp_path / "reference.h5", "-o", tmp_path / "out.h5")
    assert f"{2 * COUNT + 4} frames" in out
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["entry/maps/transmission"][INNER], TRANSMISSION, atol=2e-3)
