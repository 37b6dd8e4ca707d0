"""Makes the corpus of hostile_h5: small HDF5 files, good and bad, old and new format. usage: make_h5_corpus.py FOLDER"""

import sys
from pathlib import Path

import h5py
import numpy as np

FRAMES = (np.arange(3 * 8 * 9) % 251).astype("u2").reshape(3, 8, 9)


def plain(file):
    file.attrs.update({"energy_kev": 20.0, "pixel_size_m": "1e-6"})
    file["sample"], file["reference"] = FRAMES, FRAMES.astype("f4")
    file["sample"].attrs["distance_m"] = np.float32(0.5)
    file["dark"] = FRAMES[0].astype("u1")


def stacks(file):
    file["sample"] = np.stack([FRAMES, FRAMES]).astype(">i4")
    file["ref"] = FRAMES.astype("f2")
    file.attrs["energy_kev"] = [20, 21]


def chunked(file):
    file.create_dataset("sample", data=FRAMES, chunks=(3, 4, 4), compression="gzip", shuffle=True, fletcher32=True)
    file.create_dataset("flat", data=FRAMES, chunks=(1, 8, 9), maxshape=(None, 8, 9))


def nxtomo(file):
    for group, kind in (("entry", "NXentry"), ("entry/instrument", "NXinstrument"), ("entry/instrument/detector", "NXdetector")):
        file.create_group(group).attrs["NX_class"] = kind
    file["entry/instrument/detector/data"] = np.concatenate([FRAMES, FRAMES])
    file["entry/instrument/detector/image_key"] = [2, 1, 0, 0, 3, 0]
    file["entry/sample/rotation_angle"] = np.linspace(0, 180, 6)


def attributes(file):
    file["sample"] = FRAMES[:1]
    file.attrs["energy_kev"] = "no number"
    file["sample"].attrs["pixel_size_m"] = np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])
    file["sample"].attrs["distance_m"] = h5py.Empty("f8")
    file["sample"].attrs["NX_class"] = np.array([b"one", b"two"])


def types(file):
    file["sample"] = FRAMES.astype("c8")
    file["reference"] = np.full((3, 8, 9), b"text")
    file["dark"] = np.zeros((8, 9), bool)
    file.create_dataset("flat", (2, 2, 2), h5py.string_dtype())


def shapes(file):
    file["sample"] = np.zeros((1,) * 20)
    file["reference"] = np.zeros((0, 8, 9))
    file["dark"] = 3.0
    file["flat"] = h5py.Empty("f4")


def sizes(file):
    for name, shape in (("sample", (1 << 40, 4, 4)), ("reference", (1 << 30, 1 << 30, 1, 1)), ("dark", (2, 1 << 20, 4))):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1,) * len(shape))
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_U16LE, h5py.h5s.create_simple(shape), properties)


def links(file):
    file["sample"] = h5py.SoftLink("/sample")
    file["reference"] = h5py.ExternalLink("absent.h5", "/x")
    file["dark"] = h5py.SoftLink("/group/dark")
    file.create_group("group")["dark"] = FRAMES
    file["group/self"] = file["group"]
    file.create_group("flat")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for version in ("earliest", "latest"):
        for make in (plain, stacks, chunked, nxtomo, attributes, types, shapes, sizes, links):
            with h5py.File(folder / f"{make.__name__}_{version}.h5", "w", libver=version) as file:
                make(file)
    (folder / "truncated.h5").write_bytes((folder / "plain_latest.h5").read_bytes()[:300])


main(Path(sys.argv[1]))
