"""What the programs that train, export and convert networks say about files that are not what they take: one line that names the file.

    check_training_inputs.py ROOT"""

import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

MINE = '{"kinds": [["mask", 1.0]], "mask_pitch": [6, 6.5], "frames": [5, 5]}'
RANGES = {
    "misspelt.json": ('{"mask_pich": [6, 6.5]}', "mask_pitch is"),
    "kind.json": ('{"kinds": [["maks", 1.0]]}', "sandpaper"),
    "share.json": ('{"kinds": [["mask", 0]]}', "[name, share]"),
    "order.json": ('{"mask_pitch": [6.5, 6]}', "[least, most]"),
    "single.json": ('{"frames": 5}', "[least, most]"),
    "text.json": ('{"wave": "no"}', "is a number"),
    "broken.json": ('{"frames": [5, ', "line 1"),
    "list.json": ("[5, 5]", "object"),
    "absent.json": (None, "No such file"),
}


def wrong_words(root, folder):
    """(program and arguments, what its line must hold)"""
    train = {name: root / "plugins" / f"recon_{name}" / "train" for name in ("specklenet", "espinnet", "spinnet")}
    for name, (_, said) in RANGES.items():
        yield [train["specklenet"] / "train.py", "--output", folder / "none", "--steps", 0, "--ranges", folder / name], (name, said)
    start = [train["spinnet"] / "train.py", "--output", folder / "none", "--steps", 1, "--start"]
    yield [*start, folder / "absent.pt"], ("absent.pt", "No such file")
    yield [*start, folder / "order.json"], ("order.json", "no checkpoint")
    yield [train["espinnet"] / "train.py", "--output", folder / "none", "--device", "nowhere"], ("nowhere",)
    foreign = root / "plugins" / "recon_specklenet" / "recon_specklenet.h5"
    exporters = [[train["specklenet"] / "export.py"], *([train[name] / "convert.py", "--trained", "short"] for name in ("espinnet", "spinnet"))]
    for words in exporters:
        yield [*words, folder / "absent.pt", folder / "out.h5"], ("absent.pt", "No such file")
        yield [*words, foreign, folder / "out.h5"], (foreign.name, "no checkpoint")


def run(words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"})


def refused(words, said):
    done = run([sys.executable, "-B", *words])
    lines = [line for line in done.stderr.strip().split("\n") if not line.startswith(("usage:", " "))]
    good = done.returncode != 0 and len(lines) == 1 and all(word in lines[0] for word in said)
    print(f"{pathlib.Path(words[0]).parts[-3]}: {lines[-1]}{'' if good else f'  <-- not a line with {said}'}")
    return good


def check_other_networks_ranges(root, folder):
    """The ranges that recon_specklenet's page shows serve a network of one frame as well, whatever number of frames they name."""
    words = ["--ranges", folder / "mine.json", "--steps", 1, "--batch", 1, "--size", 64, "--threads", 1, "--device", "cpu"]
    done = run([sys.executable, "-B", root / "plugins/recon_spinnet/train/train.py", "--output", folder / "spinnet", *words])
    good = done.returncode == 0 and (folder / "spinnet" / "weights.pt").exists()
    print(f"SPINNet is trained with another network's ranges: {good} {done.stderr.strip()[-200:]}")
    return good


def main():
    root = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(2) as team:
        folder = pathlib.Path(name)
        (folder / "mine.json").write_text(MINE)
        for file, (text, _) in RANGES.items():
            if text is not None:
                (folder / file).write_text(text)
        good = all(list(team.map(lambda case: refused(*case), wrong_words(root, folder))))
        return 0 if check_other_networks_ranges(root, folder) and good else 1


if __name__ == "__main__":
    sys.exit(main())
