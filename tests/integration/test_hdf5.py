"""Files in and files out: what h5py writes is reconstructed, what is written h5py reads, and nothing hostile does harm."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import harness

HEIGHT, WIDTH, COUNT = 56, 72, 5
SHIFT_X, SHIFT_Y, TRANSMISSION = 2, -1, 0.5  # whole pixels: the closed form is exact
INNER = np.s_[..., 10:-10, 10:-10]
MAPS = {"transmission": "", "dark_field": "", "displacement_x": "px", "displacement_y": "px", "phase": "rad", "quality": "",
        "displacement_error": "px"}
GEOMETRY = {"energy_kev": 20.0, "pixel_size_m": 1e-6, "distance_m": 0.5}


def stacks(seed=0):
    """A pattern of even numbers below 127, and the same moved by whole pixels and halved: exact in every element type."""
    smooth = np.random.default_rng(seed).random((COUNT, HEIGHT, WIDTH))
    for _ in range(3):
        smooth = sum(np.roll(smooth, (y, x), (1, 2)) for y in (-1, 0, 1) for x in (-1, 0, 1))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    reference = 2 * np.round(10 + 52 * smooth)
    return reference, np.roll(reference, (SHIFT_Y, SHIFT_X), (1, 2)) / 2


@pytest.fixture(scope="module")
def scene():
    return stacks()


def write(path, reference=None, sample=None, geometry=GEOMETRY, **more):
    with h5py.File(path, "w") as file:
        file.attrs.update(geometry)
        for name, data in {"reference": reference, "sample": sample, **more}.items():
            if data is not None:
                file[name] = data
    return path


def reconstruct(*arguments, folder=None, code=0):
    """Runs the command; a failure must be told in one line."""
    status, out, err = harness.run("reconstruct", *arguments, folder=folder)
    assert status == code, (status, out, err)
    if code:
        assert len(err.strip().splitlines()) <= 5 and err.strip().splitlines()[-1].startswith("speckled reconstruct: "), err
    return out if code == 0 else err.strip().splitlines()[-1]


def check_maps(path, results=1):
    with h5py.File(path, "r") as file:
        maps = file["entry/maps"]
        assert all(maps[name].shape == (results, HEIGHT, WIDTH) for name in maps)
        assert maps["valid"].dtype == np.uint8 and all(maps[name].dtype == np.float32 for name in maps if name != "valid")
        assert np.abs(maps["displacement_x"][INNER] - SHIFT_X).max() < 0.02
        assert np.abs(maps["displacement_y"][INNER] - SHIFT_Y).max() < 0.02
        assert np.abs(maps["transmission"][INNER] - TRANSMISSION).max() < 0.005
        assert np.abs(maps["dark_field"][INNER] - 1).max() < 0.02
        assert maps["valid"][INNER].all()
        return {name: maps[name][()] for name in maps}


def expect(scene, folder, dtype):
    reference, sample = scene
    reconstruct(write(folder / "in.h5", reference.astype(dtype), sample.astype(dtype)), "-o", folder / "out.h5")
    return check_maps(folder / "out.h5")


@pytest.fixture(scope="module")
def expected(scene, tmp_path_factory):
    return expect(scene, tmp_path_factory.mktemp("expected"), "f4")


@pytest.fixture(scope="module")
def expected_from_16_bits(scene, tmp_path_factory):
    return expect(scene, tmp_path_factory.mktemp("expected"), "u2")


def same(actual, wanted, name="", tolerance=1e-5):
    """Equal up to the rounding of the transforms, whose plans differ from run to run."""
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance, err_msg=name)


TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">u4", ">i2", ">f4", ">f8"]


@pytest.mark.parametrize("dtype", TYPES)
def test_every_element_type_gives_the_same_maps(dtype, scene, expected, expected_from_16_bits, tmp_path):
    wanted = expected_from_16_bits if np.dtype(dtype).itemsize <= 2 else expected
    for name, data in expect(scene, tmp_path, dtype).items():
        same(data, wanted[name], name)


def inside(name, data):
    """A shift by whole pixels brings some patterns from the very edge of the frame, where the last bit decides whether they are in it;
    phase is 0 on average of those that are."""
    return data[INNER] - data[INNER].mean() if name == "phase" else data[INNER]


def test_16_bits_give_the_maps_of_wider_types_to_their_rounding(expected, expected_from_16_bits):
    """Data of up to 16 bits stays in binary16, what is made of the reference too: each value is off by 2^-12 of itself at most. The
    pattern's contrast of 0.18 makes five times as much of D in one pixel, at most; windows of many pixels and five frames leave less
    than half of that."""
    for name, data in expected_from_16_bits.items():
        same(inside(name, data), inside(name, expected[name]), name, 2 * 2**-12)


def test_mixed_types_and_short_alias(scene, expected, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", ref=reference.astype("u2"), sample=sample.astype("f8"), dark=np.zeros((3, HEIGHT, WIDTH), "u1"))
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    maps = check_maps(tmp_path / "out.h5")
    same(maps["displacement_x"], expected["displacement_x"])


def layout_options():
    yield "chunked", {"chunks": (1, HEIGHT, WIDTH)}
    yield "compressed", {"chunks": (COUNT, 16, 16), "compression": "gzip", "shuffle": True, "fletcher32": True}
    yield "one chunk", {"chunks": (COUNT, HEIGHT, WIDTH), "compression": 9}
    yield "resizable", {"maxshape": (None, None, None)}


@pytest.mark.parametrize("options", [pytest.param(o, id=n) for n, o in layout_options()])
def test_layouts(options, scene, expected, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w", libver="latest") as file:
        file.attrs.update(GEOMETRY)
        for name, data in zip(("reference", "sample"), scene):
            file.create_dataset(name, data=data.astype("f4"), **options)
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    same(check_maps(tmp_path / "out.h5")["phase"], expected["phase"])


def test_virtual_datasets_and_links(scene, expected, tmp_path):
    reference, sample = scene
    for i in range(COUNT):
        with h5py.File(tmp_path / f"frame_{i}.h5", "w") as file:
            file["data"] = sample[i].astype("u2")
    virtual = h5py.VirtualLayout((COUNT, HEIGHT, WIDTH), "u2")
    for i in range(COUNT):
        virtual[i] = h5py.VirtualSource(f"frame_{i}.h5", "data", (HEIGHT, WIDTH))
    write(tmp_path / "ref.h5", reference=reference.astype("u2"))
    with h5py.File(tmp_path / "in.h5", "w", libver="latest") as file:
        file.attrs.update(GEOMETRY)
        file.create_virtual_dataset("sample", virtual)
        file["reference"] = h5py.ExternalLink("ref.h5", "/reference")
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", folder=tmp_path)
    same(check_maps(tmp_path / "out.h5")["displacement_y"], expected["displacement_y"])


@pytest.mark.parametrize("shape", ["K,N", "KN"])
def test_several_stacks(shape, scene, tmp_path):
    reference, sample = scene
    many = np.stack([sample, sample, sample]).astype("u2")
    many = many if shape == "K,N" else many.reshape(-1, HEIGHT, WIDTH)
    write(tmp_path / "in.h5", reference.astype("u2"), many)
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    check_maps(tmp_path / "out.h5", results=3)
    with h5py.File(tmp_path / "out.h5") as file:
        results = file["entry/process/results"]
        assert list(results["stack"]) == [0, 1, 2] and list(results["number"]) == [0, 1, 2]
        assert (results["frame_id"][()] == COUNT + np.arange(3 * COUNT).reshape(3, COUNT)).all()
        assert list(results["present"]) == [COUNT] * 3 and not results["partial"][()].any()


def test_a_reference_for_each_stack(tmp_path):
    pairs = [stacks(seed) for seed in range(3)]
    write(tmp_path / "in.h5", np.stack([r for r, _ in pairs]).astype("u2"), np.stack([s for _, s in pairs]).astype("u2"))
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    check_maps(tmp_path / "out.h5", results=3)
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file["entry/process/results/reference"]) == [1, 2, 3]


def test_dark_and_flat_are_applied(scene, tmp_path):
    reference, sample = scene
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    dark, flat = 100 + (x + y) % 7, 1 + 0.3 * np.sin(x / 9) * np.cos(y / 7)
    write(tmp_path / "in.h5", reference * flat + dark, sample * flat + dark,
          dark=np.stack([dark, dark]).astype("u2"), flat=flat * 1000 + dark)
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    check_maps(tmp_path / "out.h5")


def nxtomo(path, frames, keys, angles):
    with h5py.File(path, "w") as file:
        for group, kind in (("entry", "NXentry"), ("entry/instrument", "NXinstrument"), ("entry/instrument/detector", "NXdetector")):
            file.create_group(group).attrs["NX_class"] = kind
        file["entry/definition"] = "NXtomo"
        file["entry/instrument/detector/data"] = frames
        file["entry/instrument/detector/image_key"] = keys
        file["entry/sample/rotation_angle"] = angles
        file["entry"].attrs.update(GEOMETRY)


def test_nxtomo(scene, tmp_path):
    reference, sample = scene
    flat, dark, bad = (np.full((1, HEIGHT, WIDTH), value) for value in (1000.0, 0.0, 65535.0))
    frames = np.concatenate([dark, flat, sample, bad, sample]).astype("f4")
    keys = [2, 1] + [0] * COUNT + [3] + [0] * COUNT
    angles = [0, 0] + [10.0] * COUNT + [0] + [20.0] * COUNT
    nxtomo(tmp_path / "in.nx", frames, np.array(keys, "i4"), angles)
    write(tmp_path / "ref.h5", reference=reference.astype("f4"))
    reconstruct("--sample", tmp_path / "in.nx", "--dark", tmp_path / "in.nx", "--flat", tmp_path / "in.nx",
                "--reference", tmp_path / "ref.h5", "-o", tmp_path / "out.h5")
    check_maps(tmp_path / "out.h5", results=2)
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["entry/process/results/angle"], [10, 20])


def test_tiff_series(scene, expected, tmp_path):
    image = pytest.importorskip("PIL.Image")
    reference, sample = scene
    pages = [image.fromarray(page.astype("u2")) for page in reference]
    pages[0].save(tmp_path / "reference.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    (tmp_path / "scan").mkdir()
    for i, page in enumerate(sample, start=8):  # scan_8 .. scan_12: ordered as numbers
        image.fromarray(page.astype("f4")).save(tmp_path / "scan" / f"scan_{i}.tif")
    for sample_name in ("scan", "scan/scan_*.tif"):
        reconstruct("--reference", "reference.tif", "--sample", sample_name, "-o", "out.h5", "--overwrite",
                    *(f"--set={key}={value}" for key, value in GEOMETRY.items()), folder=tmp_path)
        same(check_maps(tmp_path / "out.h5")["phase"], expected["phase"])
    (tmp_path / "scan" / "scan_9.tif").write_bytes(b"II*\0nonsense")
    assert "scan_9.tif" in reconstruct("--reference", "reference.tif", "--sample", "scan", "-o", "bad.h5", folder=tmp_path, code=1)


def test_geometry_is_found_or_asked_for(scene, tmp_path):
    reference, sample = scene
    path = write(tmp_path / "in.h5", reference, geometry={"energy_kev": 20.0})
    with h5py.File(path, "r+") as file:
        file["scan/sample"] = sample
        file["scan"].attrs["distance_m"] = np.float32(0.5)
        file["scan/sample"].attrs["pixel_size_m"] = "1e-6"
    reconstruct("--reference", f"{path}:/reference", "--sample", f"{path}:scan/sample", "-o", tmp_path / "a.h5")
    assert "phase" in check_maps(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["entry/instrument/detector/distance"][()] == pytest.approx(0.5)
        assert file["entry/instrument/detector/x_pixel_size"].attrs["units"] == "m"
        assert file["entry/instrument/beam/incident_energy"][()] == 20
    del_path = write(tmp_path / "none.h5", reference, sample, geometry={"energy_kev": 20.0})
    code, _, err = harness.run("reconstruct", del_path, "-o", tmp_path / "b.h5")
    assert code == 0 and err.count("\n") == 1 and "pixel_size_m, distance_m" in err
    assert "phase" not in check_maps(tmp_path / "b.h5")
    reconstruct(del_path, "-o", tmp_path / "c.h5", "--set", "pixel_size_m=1e-6", "--set", "distance_m=0.5")
    same(check_maps(tmp_path / "c.h5")["phase"], check_maps(tmp_path / "a.h5")["phase"])
    with h5py.File(del_path, "r+") as file:
        file["sample"].attrs["energy_kev"] = -3.0
    assert "energy_kev" in reconstruct(del_path, "-o", tmp_path / "d.h5", code=2)


def test_what_is_written_is_nexus(expected, scene, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", reference, sample)
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", "--set", "sink_hdf5.compression=4", "--set", "max_shift=5")
    with h5py.File(tmp_path / "out.h5") as file:
        entry = file[file.attrs["default"]]
        data = entry[entry.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry" and data.attrs["NX_class"] == "NXdata"
        assert data.attrs["signal"] == "phase" and set(data.attrs["auxiliary_signals"]) == set(MAPS) - {"phase"}
        for name, unit in MAPS.items():
            assert data[name].attrs["units"] == unit and data[name].attrs["long_name"]
            assert data[name].maxshape == (None, HEIGHT, WIDTH) and data[name].chunks == (1, HEIGHT, WIDTH)
            assert data[name].compression == "gzip"
        process = entry["process"]
        assert process["program"][()] == b"speckled" and process.attrs["NX_class"] == "NXprocess"
        lines = process["configuration"][()].decode().splitlines()
        assert "recon_umpa.max_shift: 5" in lines and "sink_hdf5.compression: 4" in lines
        assert any(line.startswith("pipeline.count") for line in lines) and any(line.startswith("geometry.") for line in lines)
        assert any(line.startswith("recon_umpa ") for line in process["versions"][()].decode().splitlines())
        results = process["results"]
        assert "recon_umpa" in list(results["stage_time"].attrs["stages"])
        assert results["stage_time"].shape == (1, len(results["stage_time"].attrs["stages"])) and (results["stage_time"][()] > 0).any()
        assert abs(results["published_time"][0] / 1e9 - time.time()) < 600 and results["latency"][0] > 0
        assert 0 < results["valid_fraction"][0] <= 1
        ux, uy = (entry["maps"][f"displacement_{axis}"][0].astype(float) for axis in "xy")
        whole = entry["maps/valid"][0].astype(bool)
        square = whole[1:, 1:] & whole[1:, :-1] & whole[:-1, 1:] & whole[:-1, :-1]
        curl = np.diff(uy[1:] + uy[:-1], axis=1) / 2 - np.diff(ux[:, 1:] + ux[:, :-1], axis=0) / 2
        np.testing.assert_allclose(results["curl"][0], np.sqrt(np.mean(curl[square] ** 2)), rtol=1e-4)


def test_an_existing_file_is_kept(scene, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", reference, sample)
    (tmp_path / "out.h5").write_text("mine")
    assert "exists already; choose another name or say --overwrite" in reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", code=1)
    assert (tmp_path / "out.h5").read_text() == "mine"
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", "--overwrite")
    check_maps(tmp_path / "out.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5", "out.h5"], "nothing else is left behind"


def test_pictures(scene, tmp_path):
    image = pytest.importorskip("PIL.Image")
    reference, sample = scene
    write(tmp_path / "in.h5", reference, sample)
    reconstruct(tmp_path / "in.h5", "-o", tmp_path / "out.h5", "--png", tmp_path / "pictures")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == sorted(f"{name}_000000.png" for name in MAPS)
    for name in names:
        with image.open(tmp_path / "pictures" / name) as picture:
            pixels = np.asarray(picture)
            assert picture.mode == "RGB" and pixels.shape[0] > HEIGHT * 6 and pixels.shape[1] > WIDTH * 6
            assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, "a colour bar has many colours"


def hostile_files(reference, sample):
    yield "shapes differ", {"reference": reference, "sample": sample[:, 1:]}, 2
    yield "counts differ", {"reference": reference, "sample": sample[1:]}, 2
    yield "one dimension", {"reference": reference, "sample": sample.ravel()}, 2
    yield "five dimensions", {"reference": reference, "sample": sample[None, None]}, 2
    yield "thirty dimensions", {"reference": reference, "sample": np.zeros((1,) * 30)}, 1
    yield "scalar", {"reference": reference, "sample": 3.0}, 2
    yield "no image", {"reference": reference, "sample": sample[:0]}, 2
    yield "no pixel", {"reference": reference, "sample": sample[:, :, :0]}, 2
    yield "text", {"reference": reference, "sample": np.full(sample.shape, b"x")}, 1
    yield "complex", {"reference": reference, "sample": sample.astype("c8")}, 1
    yield "records", {"reference": reference, "sample": np.zeros(sample.shape, [("a", "u2"), ("b", "f4")])}, 1
    yield "flags", {"reference": reference, "sample": np.ones(sample.shape, bool)}, 1
    yield "no sample", {"reference": reference}, 2
    yield "no reference", {"sample": sample}, 2
    yield "nothing", {}, 2
    yield "no reference image", {"reference": reference[:0], "sample": sample}, 2
    yield "no dark image", {"reference": reference, "sample": sample, "dark": sample[:0]}, 2
    yield "another dark", {"reference": reference, "sample": sample, "dark": sample[:, 1:]}, 2
    yield "fewer references", {"reference": reference[1:], "sample": sample}, 2


@pytest.mark.parametrize("name", [name for name, _, _ in hostile_files(*stacks())])
def test_unusable_files_are_refused_in_one_line(name, scene, tmp_path):
    for case, data, code in hostile_files(*scene):
        if case == name:
            write(tmp_path / "in.h5", **data)
            status, _, err = harness.run("reconstruct", tmp_path / "in.h5", "-o", tmp_path / "out.h5")
            assert status == code, (status, code, err)
            assert re.fullmatch(r"speckled reconstruct: (?!frames).*\n", err), err
            assert not (tmp_path / "out.h5").exists()


def test_impossible_sizes(scene, tmp_path):
    for number, shape in enumerate([(1 << 40, 4, 4), (1 << 62, 1 << 60, 1), (3, 1 << 20, 1 << 20), (1 << 20, 1 << 20, 1 << 20, 1 << 20)]):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            space = h5py.h5s.create_simple(shape)
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk((1,) * (len(shape) - 2) + (1, 1))
            h5py.h5d.create(file.id, b"sample", h5py.h5t.STD_U16LE, space, properties)
            file["reference"] = scene[0]
        assert str(path) in reconstruct(path, "-o", tmp_path / "out.h5", code=2)


def test_a_missing_filter_is_named(scene, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, HEIGHT, WIDTH))
        properties.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((COUNT, HEIGHT, WIDTH))
        h5py.h5d.create(file.id, b"sample", h5py.h5t.STD_U16LE, space, properties)
        file["reference"] = scene[0]
    code, _, err = harness.run("reconstruct", tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    assert code == 1 and err.count("\n") == 1
    assert "bitshuffle" in err and "HDF5_PLUGIN_PATH" in err


def test_truncated_and_broken_files(scene, tmp_path, monkeypatch):
    """Cut anywhere, or with bytes turned over at the structures' places: one line, never a crash."""
    (tmp_path / "suppressions").write_text("leak:libhdf5\n")  # the library itself loses memory on damaged files
    monkeypatch.setenv("LSAN_OPTIONS", f"print_suppressions=0:suppressions={tmp_path / 'suppressions'}")
    path = write(tmp_path / "good.h5", *(part.astype("u1") for part in scene))
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    cuts = [0, 1, 7, 8, 9, 40, 95, 96, 97, 500, 800, 2048, len(whole) // 2, len(whole) - 1]
    broken = [whole[:cut] for cut in cuts]
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(0, 2600, 6):
            damaged[place] ^= 1 << random.integers(8)
        broken.append(bytes(damaged))
    for number, content in enumerate(broken):
        (tmp_path / "in.h5").write_bytes(content)
        code, _, err = harness.run("reconstruct", tmp_path / "in.h5", "-o", tmp_path / "out.h5", "--overwrite")
        assert code in (0, 1, 2), (number, code, err)
        if number < len(cuts):
            assert code != 0
        if code:
            assert err.strip().splitlines()[-1].startswith("speckled reconstruct: "), err


def test_files_that_are_being_written(scene, tmp_path):
    """Of a SWMR writer's file the stacks that are there; a writer that locks its file is named as the cause."""
    reference, sample = scene
    path = write(tmp_path / "in.h5", reference, sample)
    with h5py.File(path, "r+"):
        assert "in.h5 is open in a program that writes it" in reconstruct(path, "-o", tmp_path / "out.h5", code=1)
    with h5py.File(tmp_path / "live.h5", "w", libver="latest") as file:
        file.attrs.update(GEOMETRY)
        file["reference"] = reference
        images = file.create_dataset("sample", data=sample, maxshape=(None, HEIGHT, WIDTH), chunks=(1, HEIGHT, WIDTH))
        file.swmr_mode = True
        for stacks in (1, 2):
            images.resize(COUNT * stacks, axis=0)
            images[-COUNT:] = sample
            images.flush()
            reconstruct(tmp_path / "live.h5", "-o", tmp_path / "out.h5", "--overwrite")
            check_maps(tmp_path / "out.h5", stacks)


def test_the_share_of_valid_pixels_is_told(scene, tmp_path):
    reference, sample = (part.astype("u2") for part in scene)
    saturated = np.full_like(sample, 65535)
    out = reconstruct(write(tmp_path / "in.h5", reference, np.stack([sample, saturated])), "-o", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        share = 100 * file["entry/maps/valid"][()].mean()
    told = float(re.search(r"; (\S+) % of pixels valid; ", out)[1])
    assert 0 < share < 50 and abs(told - share) <= 0.05, (out, share)
    for name, images in {"saturated": saturated, "unlit": 0 * sample}.items():
        write(tmp_path / "in.h5", reference, images)
        assert "out.h5 is valid: " in reconstruct(tmp_path / "in.h5", "-o", tmp_path / f"{name}_out.h5", code=1)
        assert (tmp_path / f"{name}_out.h5").exists(), "the maps are there, to be looked at"


def test_wrong_names(scene, tmp_path):
    path = write(tmp_path / "in.h5", *scene)
    assert "No such file" in reconstruct(tmp_path / "absent.h5", "-o", tmp_path / "out.h5", code=1)
    for name in ("/nothing", "nothing"):
        assert f"{path} has nothing at /nothing" in reconstruct("--reference", f"{path}:{name}", "--sample", path, "-o", tmp_path / "out.h5", code=2)
    assert "No such file" in reconstruct("--reference", f"{path}x:reference", "--sample", path, "-o", tmp_path / "out.h5", code=1)
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["run3/refs"], file["run3/samples"] = scene
    for arguments in ([tmp_path / "own.h5"], ["--reference", tmp_path / "own.h5", "--sample", path]):
        assert "; it has /run3/refs, /run3/samples" in reconstruct(*arguments, "-o", tmp_path / "out.h5", code=2)
    assert "No such file" in reconstruct(path, "-o", tmp_path / "no" / "folder" / "out.h5", code=1)
    code, _, err = harness.run("reconstruct", path, "-o", tmp_path / "out.h5", "--set", "windw=2")
    assert code == 2 and "window" in err
    code, _, err = harness.run("reconstruct", path)
    assert code == 2 and "output" in err


def test_outputs_that_cannot_be_are_refused_before_the_run(scene, tmp_path):
    path = write(tmp_path / "in.h5", *scene)
    before = path.read_bytes()
    assert "in.h5 is an input; choose another name" in reconstruct(path, "-o", path, "--overwrite", code=1)
    (tmp_path / "link.h5").symlink_to(path)
    assert "is an input" in reconstruct(path, "-o", tmp_path / "link.h5", "--overwrite", code=1)
    assert path.read_bytes() == before
    assert "is no ordinary file" in reconstruct(path, "-o", tmp_path, "--overwrite", code=2)
    assert "is no ordinary file" in reconstruct(path, "-o", os.devnull, "--overwrite", code=2)
    assert "is no folder" in reconstruct(path, "-o", tmp_path / "out.h5", "--png", path, code=1)
    assert "cannot make the folder" in reconstruct(path, "-o", tmp_path / "out.h5", "--png", tmp_path / "no" / "folder", code=1)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(scene, tmp_path):
    path = write(tmp_path / "in.h5", *scene)
    closed = tmp_path / "closed"
    closed.mkdir(0o555)
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run([*drop, harness.PROGRAM, "reconstruct", path, "-o", closed / "out.h5"], capture_output=True, text=True,
                          check=False, env=harness.environment(), timeout=harness.PATIENCE)
    assert done.returncode == 1 and "cannot write into the folder" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_drift_of_the_modulator_is_taken_out(tmp_path):
    """Frames that moved by whole pixels besides what the sample does, one of them by more than half a grain."""
    drift = np.array([(2, -1), (-3, 2), (1, -1)])
    pattern = harness.Scene(count=3, height=96, width=104).reference
    sample = np.stack([np.roll(frame, (1 + y, -2 + x), axis=(0, 1)) for frame, (y, x) in zip(pattern, drift)])
    path = write(tmp_path / "in.h5", pattern, np.round(sample * 0.5).astype(np.uint16))
    reconstruct(path, "-o", tmp_path / "as_it_is.h5")
    reconstruct(path, "--register", "-o", tmp_path / "registered.h5")
    inner = (0, slice(16, -16), slice(16, -16))
    with h5py.File(tmp_path / "as_it_is.h5", "r") as before, h5py.File(tmp_path / "registered.h5", "r") as after:
        assert np.isnan(before["entry/process/results/drift"][0])
        np.testing.assert_allclose(after["entry/process/results/drift"][0], np.sqrt(np.mean(np.sum(drift**2, axis=1))), atol=0.01)
        assert np.abs(before["entry/maps/dark_field"][inner] - 1).mean() > 0.1
        for name, value in (("displacement_x", -2), ("displacement_y", 1), ("transmission", 0.5), ("dark_field", 1)):
            assert np.abs(after["entry/maps"][name][inner] - value).max() < 0.02, name
        assert after["entry/maps/valid"][inner].all()
    small = write(tmp_path / "small.h5", pattern[:, :40, :40], pattern[:, :40, :40])
    message = reconstruct(small, "--register", "-o", tmp_path / "small_out.h5", code=2)
    assert "frames of 40 x 40 px are too small for max_shift 6: at least 52 x 52" in message


def registered(folder, name, *drifts):
    """Errors of the maps of a simulated step, where all are valid, and what the result says of drifts."""
    scene, out = folder / f"{name}_scene.h5", folder / f"{name}.h5"
    code, _, err = harness.run("simulate", "--output", scene, "--stacks", 1, "--size", 256, "--count", 10, "--model", "geometric",
                               "--sample", "step", "--drift-px", 0.6, *drifts)
    assert code == 0, err
    reconstruct(scene, "--register", "--set", f"sample_drift={'false' if name == 'left' else 'true'}", "-o", out)
    with h5py.File(scene, "r") as truth, h5py.File(out, "r") as maps:
        inner = np.s_[0, 20:-20, 20:-20]
        valid = maps["entry/maps/valid"][inner].astype(bool)
        error = {map: np.sqrt(np.mean((maps["entry/maps"][map][inner] - truth["truth"][map][inner])[valid] ** 2))
                 for map in ("displacement_x", "dark_field", "transmission")}
        results = maps["entry/process/results"]
        return error, results["drift"][0], results["sample_drift"][0]


def test_drift_of_the_sample_is_taken_out(tmp_path):
    """An edge that moves by up to 1.5 px from frame to frame: with its drift out, the maps are nearly as good as of one that stands."""
    still, drift, none = registered(tmp_path, "still")
    left, drift_left, unknown = registered(tmp_path, "left", "--sample-drift-px", 1.5)
    taken, drift_taken, moved = registered(tmp_path, "taken", "--sample-drift-px", 1.5)
    assert none == 0 and np.isnan(unknown) and 0.3 < moved < 1.5
    np.testing.assert_allclose([drift_left, drift_taken], drift, atol=0.02)
    assert left["displacement_x"] > 1.5 * still["displacement_x"]
    for name, error in taken.items():
        assert error < 1.3 * still[name] and error < left[name], (name, still, left, taken)


def test_configuration_of_the_service(scene, expected, tmp_path):
    """Stages and settings are the service's; its source, sinks and controls are not touched."""
    path = write(tmp_path / "in.h5", *scene, geometry={})
    service = {
        "pipeline": {"mode": "stack", "count": COUNT, "block": False},
        "geometry": GEOMETRY,
        "source": {"plugin": "source_hdf5", "file": str(tmp_path / "gone.h5")},
        "stages": [{"plugin": "prep_dark_flat", "roi": [8, 4, 48, 40]}, {"plugin": "recon_umpa", "refine": "none"}, {"plugin": "post_integrate"}],
        "sinks": [{"plugin": "sink_hdf5", "path": str(tmp_path / "live.h5")}],
    }
    config = tmp_path / "service.yaml"
    config.write_text(yaml.safe_dump(service))
    reconstruct("-c", config, path, "-o", tmp_path / "out.h5")
    assert not (tmp_path / "live.h5").exists()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["entry/maps/phase"].shape == (1, 40, 48)
        shift = file["entry/maps/displacement_x"][INNER]
        assert (shift == np.round(shift)).all(), "the configuration turns refinement off"
    reconstruct("-c", config, path, "-o", tmp_path / "refined.h5", "--set", "prep_dark_flat.roi=", "--set", "refine=global", "--set", "quality=best")
    same(check_maps(tmp_path / "refined.h5")["displacement_x"], expected["displacement_x"])
    code, _, err = harness.run("reconstruct", "-c", config, path, "-o", tmp_path / "b.h5", "--method", "xst")
    assert code == 2 and "the stages are those of the configuration" in err
    code, _, err = harness.run("reconstruct", "-c", tmp_path / "none.yaml", path, "-o", tmp_path / "b.h5")
    assert code == 2 and err == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n"
    config.write_text(yaml.safe_dump({**service, "stages": [{"plugin": "prep_dark_flat", "roi": [0, 0, WIDTH + 1, 4]}, {"plugin": "recon_umpa"}]}))
    code, _, err = harness.run("reconstruct", "-c", config, path, "-o", tmp_path / "b.h5")
    assert code == 2 and err.startswith(f"{config}:") and "prep_dark_flat: roi" in err and err.count("\n") == 1, err


def replay(scene, folder, path, **sink):
    """A service that replays the scene for ever into live files."""
    write(folder / "in.h5", *(part.astype("u2") for part in scene))
    return {
        "pipeline": {"block": True, "threads": 1},
        "source": {"plugin": "source_hdf5", "file": str(folder / "in.h5"), "repeat": 0, "rate_hz": 400},
        "stages": [{"plugin": "recon_umpa", "max_shift": 3, "passes": 1}],
        "sinks": [{"plugin": "sink_hdf5", "path": str(path), "queue": "block", **sink}],
    }


def start_service(start, folder, configuration, name="service"):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(configuration))
    return start("run", "-c", folder / f"{name}.yaml", "--status-interval", 1, name=name)


def rows(path, **keys):
    if not path.exists():
        return 0
    with h5py.File(path, "r", **keys) as file:
        return len(file["entry/process/results/number"])


def check_rows(path, **keys):
    """Every row with a number is complete, and right."""
    with h5py.File(path, "r", **keys) as file:
        results, maps = file["entry/process/results"], file["entry/maps"]
        numbers = results["number"][()]
        count = len(numbers)
        assert count and (np.diff(numbers.astype(int)) == 1).all()
        for name in maps:
            assert len(maps[name]) >= count, name
        for name in results:
            assert len(results[name]) >= count, name
        for row in sorted({0, count // 2, count - 1}):
            assert np.abs(maps["displacement_x"][row][INNER] - SHIFT_X).max() < 0.2
            assert maps["valid"][row][INNER].all()
        return count


def test_live_files_are_read_while_written_and_after_a_kill(start, scene, tmp_path):
    for turn in range(3):
        path = tmp_path / f"live_{turn}.h5"
        service = start_service(start, tmp_path, replay(scene, tmp_path, path), f"service{turn}")
        harness.wait_for("the first results", lambda p=path: rows(p, swmr=True) > 3)
        with h5py.File(path, "r", swmr=True) as file:
            number = file["entry/process/results/number"]
            seen = len(number)
            harness.wait_for("more results in the open file", lambda: (number.refresh(), len(number))[1] > seen + 3)
        before = check_rows(path, swmr=True)
        assert service.running()
        service.kill()
        assert check_rows(path) >= before, "an ordinary open after kill -9"
        assert check_rows(path, swmr=True) >= before
        with h5py.File(path, "r+") as file:
            file["note"] = "it can be changed as well"
        if shutil.which("h5dump"):
            assert subprocess.run(["h5dump", "-H", path], stdout=subprocess.DEVNULL, check=False).returncode == 0


def texts(path, name):
    with h5py.File(path, "r", swmr=True) as file:
        return [text.decode().rstrip("\0") for text in file[f"entry/process/{name}"][()]]


@pytest.mark.skipif(harness.run("plugins", "ctl_zmq")[0] != 0, reason="needs ctl_zmq")
def test_live_changes_are_listed_while_the_file_grows(scene, tmp_path):
    path = tmp_path / "live.h5"
    service = harness.Service(replay(scene, tmp_path, path), tmp_path)

    def change(*settings):
        """Waits until results of the new generation are in the file."""
        before = service.status()["generation"]
        for setting in settings:
            service.command("set", setting)

        def arrived():
            with h5py.File(path, "r", swmr=True) as file:
                return file["entry/process/results/generation"][-1] >= before + len(settings)

        harness.wait_for(f"results after {settings}", arrived)

    try:
        harness.wait_for("the first results", lambda: rows(path, swmr=True) > 1)
        assert texts(path, "changes") == []
        change("recon_umpa.refine=none")
        assert texts(path, "changes") == ["generation 1: recon_umpa.refine: none"], "seen while the file is written"
        change("recon_umpa.refine=none")  # a change to the same value is none
        change("recon_umpa.passes=2", "recon_umpa.dark_field=false")
        assert service.command("get", "recon_umpa.dark_field") == "false\n"
        code, _, err = service.ctl("set", "recon_umpa.passes=2000")
        assert code == 1 and "passes" in err
        assert service.interrupt() == 0, service.output()
    finally:
        service.kill()
        service.check_sanitizers()
    changes = texts(path, "changes")
    assert changes[0] == "generation 1: recon_umpa.refine: none" and len(changes) == 3, changes
    assert sorted(text.split(": ", 1)[1] for text in changes[1:]) == ["recon_umpa.dark_field: false", "recon_umpa.passes: 2"], changes
    with h5py.File(path) as file:
        results = file["entry/process/results"]
        assert sorted(set(results["generation"][()]))[:2] == [0, 1] and (np.diff(results["generation"][()].astype(int)) >= 0).all()
        lines = file["entry/process/configuration"][()].decode().splitlines()
        assert "recon_umpa.passes: 1" in lines and "recon_umpa.dark_field: true" in lines, "as it was at the start"
        whole = file["entry/maps/displacement_x"][int(np.flatnonzero(results["generation"][()] == 1)[-1])][INNER]
        assert (whole == np.round(whole)).all(), "a result belongs to its generation"


def test_a_stop_closes_the_file(start, scene, tmp_path):
    path = tmp_path / "live.h5"
    service = start_service(start, tmp_path, replay(scene, tmp_path, path))
    harness.wait_for("the first results", lambda: rows(path, swmr=True) > 3)
    assert service.interrupt() == 0, service.output()
    assert check_rows(path) > 3
    assert path.stat().st_size < (check_rows(path) + 20) * 8 * 4 * HEIGHT * WIDTH, "closing trims the file"


def test_numbered_files_step_over_existing_ones(start, scene, tmp_path):
    (tmp_path / "scan_0001.h5").write_text("mine")
    service = start_service(start, tmp_path, replay(scene, tmp_path, tmp_path / "scan_{number}.h5"))
    harness.wait_for("the first results", lambda: rows(tmp_path / "scan_0002.h5", swmr=True) > 1)
    assert service.interrupt() == 0
    assert (tmp_path / "scan_0001.h5").read_text() == "mine"


def test_a_file_that_may_not_grow(scene, tmp_path):
    """The limit on file size fails like a full disk, and needs no root."""
    reference, sample = scene
    write(tmp_path / "in.h5", reference, np.stack([sample] * 40))
    program = [harness.PROGRAM, "reconstruct", tmp_path / "in.h5", "-o", tmp_path / "out.h5"]
    for limit in (1000, 100_000, 20_000_000 if harness.SANITIZED else 18_000_000):
        (tmp_path / "out.h5").unlink(missing_ok=True)
        done = subprocess.run(program, capture_output=True, text=True, check=False, env=harness.environment(), timeout=harness.PATIENCE,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 0:
            assert limit > 10_000_000
            continue
        assert "File too large" in done.stderr, done.stderr
        assert done.stderr.count("File too large") <= 3, done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "no half-made file is left"


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False,
                                                   stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_does_not_hurt_the_service(start, small_disk, scene, tmp_path):
    (small_disk / "ballast").write_bytes(bytes(1_000_000))
    path = small_disk / "live.h5"
    started, retry_ms = time.monotonic(), 300
    service = start_service(start, tmp_path, replay(scene, tmp_path, path, retry_ms=retry_ms))
    harness.wait_for("the disk is full", lambda: "No space left on device" in service.output())
    kept = check_rows(path)
    assert kept >= 3
    time.sleep(1)
    assert service.running()
    assert service.output().count("No space left on device") <= 2 + (time.monotonic() - started) * 1e3 / retry_ms, "one a try, not one a result"
    assert check_rows(path) >= kept, "what was there stays"
    (small_disk / "ballast").unlink()
    found = harness.wait_for("a new file after space was made",
                             lambda: [p for p in small_disk.glob("live_*.h5") if rows(p, swmr=True) > 2])
    check_rows(found[0], swmr=True)
    assert service.running()
    assert service.interrupt() == 0, service.output()
    assert "adds up" in service.output()


def test_a_full_disk_ends_a_reconstruction(small_disk, scene, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", reference, np.stack([sample] * 60))
    (small_disk / "out.h5").write_text("mine")
    for method, maps in {"umpa": 7, "specklenet": 7, "espinnet": 6, "xst": 6}.items():  # phase and error of the displacement included
        message = reconstruct(tmp_path / "in.h5", "-o", small_disk / "out.h5", "--overwrite", "--method", method, code=1)
        needed = re.search(r"the maps of 60 stacks need (\d+\.\d) MB, .* has room for \d+\.\d MB$", message)
        assert needed and needed[1] == f"{60 * HEIGHT * WIDTH * (4 * maps + 1) * 1e-6:.1f}", (method, message)
    assert (small_disk / "out.h5").read_text() == "mine", "known before the run"
    (small_disk / "other").write_bytes(bytes(2_500_000))
    more = ("--overwrite", "--set", "sink_hdf5.compression=1")  # whose result nobody knows before
    assert "No space left on device" in reconstruct(tmp_path / "in.h5", "-o", small_disk / "out.h5", *more, code=1)
    assert check_rows(small_disk / "out.h5") >= 1
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
    before = (small_disk / "out.h5").read_bytes()
    assert "No space left on device" in reconstruct(tmp_path / "in.h5", "-o", small_disk / "out.h5", *more, code=1)
    assert (small_disk / "out.h5").read_bytes() == before, "a file that cannot be replaced stays whole"
    assert [p.name for p in small_disk.iterdir() if p.name.startswith(".")] == []


def test_a_disk_without_room_for_the_file_itself(small_disk, scene, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", reference, np.stack([sample] * 60))
    for room in range(4, 44, 4):  # KiB
        for path in small_disk.iterdir():
            path.unlink()
        (small_disk / "ballast").write_bytes(bytes((3072 - room) * 1024))
        message = reconstruct(tmp_path / "in.h5", "-o", small_disk / "out.h5", "--set", "sink_hdf5.compression=1", code=1)
        assert "No space left on device" in message, (room, message)


def test_interrupt(start, scene, tmp_path):
    reference, sample = scene
    write(tmp_path / "in.h5", reference, np.stack([sample] * 400))
    job = start("reconstruct", tmp_path / "in.h5", "-o", tmp_path / "out.h5")
    harness.wait_for("the first results", lambda: rows(tmp_path / "out.h5", swmr=True) > 1 or not job.running())
    job.popen.send_signal(signal.SIGINT)
    code = job.wait()
    assert (code == 1 and "interrupted" in job.output()) or code == 0
    check_rows(Path(tmp_path / "out.h5"))
