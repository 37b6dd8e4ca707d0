"""The rules of the repository that a program can check. One subcommand a rule; each prints every offence and fails if there is one."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE",
    "daemon", "pipeline", "plugins", "config", "deploy", "tests", ".ci",
}
DOT_FILES = {".dockerignore", ".gitignore", ".gitattributes", ".clang-format", ".clang-tidy", ".editorconfig"}
MAX_LINES = 800
MAX_BYTES, MAX_WEIGHTS_BYTES = 4 << 20, 16_000_000
C_FAMILY = {".c", ".h", ".cpp", ".hpp", ".cc", ".cu", ".cuh"}
BINARY = {".png", ".h5", ".npz", ".npy", ".bin", ".tif", ".tiff"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
# Written in pieces so that this file passes its own rule.
WORDS = re.compile("|".join((r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bXX" r"X\b", "/ro" "ot/", "/wo" "rk/", "/ho" r"me/\w")))


def repository_files(root):
    """Paths relative to root of all files that are, or would be, committed."""
    if shutil.which("git"):
        git = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, check=False)
        if git.returncode == 0:
            names = {Path(name) for name in git.stdout.decode().split("\0") if name}
            return sorted(name for name in names if (root / name).is_file())
    names = []  # an archive without its history
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(("build", ".")) or f == ".ci"]
        folders[:] = [f for f in folders if f not in {"demo-output", "__pycache__"}]
        names += [Path(folder, file).relative_to(root) for file in files]
    return sorted(names)


def room_of(path):
    """The unit that may not be reached into from outside: pipeline, daemon, a plugin's folder; None for the rest."""
    if path.parts[0] == "plugins" and len(path.parts) > 2:
        return Path(*path.parts[:2])
    if path.parts[0] in {"pipeline", "daemon"}:
        return Path(path.parts[0])
    return None


def rule_layers(root, files):
    """daemon -> pipeline, plugins -> pipeline, and nothing else."""
    known = set(files)
    headers = {}
    for file in files:
        if file.suffix in {".h", ".hpp", ".cuh"} and room_of(file):
            headers.setdefault(file.name, set()).add(room_of(file))
    for file in files:
        room = room_of(file)
        if not room or file.suffix not in C_FAMILY:
            continue
        for kind, name in INCLUDE.findall((root / file).read_text()):
            if name.startswith("speckled/"):
                if Path("pipeline/include", name) not in known:
                    yield f"{file}: <{name}> is no public header"
                continue
            if kind == "<" or Path(os.path.normpath(file.parent / name)) in known:
                target = room_of(Path(os.path.normpath(file.parent / name))) if kind == '"' else room
                if target != room:
                    yield f"{file}: \"{name}\" belongs to {target}"
                continue
            owners = headers.get(Path(name).name, set())
            if owners and room not in owners:
                yield f"{file}: \"{name}\" belongs to {', '.join(map(str, sorted(owners)))}"


def rule_tree(root, files):
    """Agreed top-level entries, files of readable length, programs that can be started, a page for each room and plugin."""
    for entry in sorted({file.parts[0] for file in files}):
        if entry not in TOP_LEVEL | DOT_FILES:
            yield f"{entry}: not an agreed top-level entry"
    for file in files:
        size = (root / file).stat().st_size
        if size > (MAX_WEIGHTS_BYTES if file.suffix == ".h5" and file.parts[0] == "plugins" else MAX_BYTES):
            yield f"{file}: {size} bytes"
        with (root / file).open("rb") as start:
            if start.read(2) == b"#!" and not os.access(root / file, os.X_OK):
                yield f"{file}: begins with #! and is not executable"
        if file.suffix in C_FAMILY | {".py"}:
            lines = (root / file).read_bytes().count(b"\n")
            if lines > MAX_LINES:
                yield f"{file}: {lines} lines, at most {MAX_LINES}"
    known = set(files)
    for plugin in sorted({room_of(file) for file in files if file.parts[0] == "plugins" and room_of(file)}):
        for page in ("README.md", "CMakeLists.txt"):
            if plugin / page not in known:
                yield f"{plugin}: no {page}"


def rule_text(root, files):
    """No unfinished work, no paths of one machine, no stray white space."""
    for file in files:
        if file.suffix in BINARY or "corpus" in file.parts or file.name == "LICENSE":
            continue
        try:
            text = (root / file).read_bytes().decode()
        except UnicodeDecodeError:
            yield f"{file}: not UTF-8"
            continue
        for number, line in enumerate(text.split("\n"), 1):
            found = WORDS.search(line)
            if found:
                yield f"{file}:{number}: {found.group()!r}"
            if line != line.rstrip():
                yield f"{file}:{number}: white space at the end of the line"
        if text and not text.endswith("\n"):
            yield f"{file}: no newline at the end"


def rule_headers(root, files, c_compiler, cxx_compiler):
    """Every public header compiles alone, in C11 and in C++17, with all warnings."""
    public = [f for f in files if f.parts[:3] == ("pipeline", "include", "speckled") and f.suffix == ".h"]
    if not public:
        yield "no public headers found"
    languages = [[c_compiler, "-std=c11", "-x", "c"], [cxx_compiler, "-std=c++17", "-x", "c++"]]

    def compile_alone(header, command):
        source = f"#include <speckled/{header.name}>\n"
        command = [*command, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{root}/pipeline/include", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"{header} as {command[1]}:\n{done.stderr}"

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [pool.submit(compile_alone, header, language) for header in public for language in languages]
        yield from filter(None, (job.result() for job in jobs))


def rule_format(root, files):
    """clang-format agrees with every C and C++ file."""
    sources = [str(f) for f in files if f.suffix in C_FAMILY - {".cu", ".cuh"}]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stderr.strip()


def rule_shell(root, files):
    """shellcheck agrees with every shell script."""
    scripts = []
    for file in files:
        if file.suffix in BINARY or not os.access(root / file, os.X_OK):
            continue
        with open(root / file, "rb") as script:
            if re.match(rb"#!.*\b(ba)?sh\b", script.readline(80)):
                scripts.append(str(file))
    done = subprocess.run(["shellcheck", *scripts], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stdout.strip()


def rule_symbols(root, files, library, plugins):
    """The library exports spk_ names only, a plugin its entry and what an IOC must find in it (pvar_)."""
    def exported(path):
        listing = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", path], capture_output=True, text=True, check=True)
        return [line.split()[0] for line in listing.stdout.splitlines()]

    for symbol in exported(library):
        if not symbol.startswith("spk_"):
            yield f"{library}: exports {symbol}"
    for plugin in sorted(Path(plugins).glob("*.so")):
        symbols = exported(plugin)
        if "spk_plugin_entry" not in symbols:
            yield f"{plugin}: no spk_plugin_entry"
        for symbol in symbols:
            if symbol != "spk_plugin_entry" and not symbol.startswith(("pvar_", "spk_")):
                yield f"{plugin}: exports {symbol}"


def rule_container(root, files, build):
    """The container's last stage installs the Debian package of every library that the build links."""
    libraries = r"lib(?!c6|gcc-s1)[a-z0-9.+-]+"
    last_stage = (root / "deploy/Containerfile").read_text().split("\nFROM ")[-1]
    installed = set(re.findall(libraries, re.search(r"apt-get install(.*?)&& rm", last_stage, re.DOTALL).group(1)))
    linked, needed = {}, set()
    for file in [Path(build, "bin/speckled"), *Path(build, "lib").rglob("*.so")]:
        wanted = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True).stdout)
        found = dict(re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout))
        linked |= {name: os.path.realpath(found[name]) for name in wanted if name in found}
    for path in linked.values():
        paths = {path, path.removeprefix("/usr")}  # packages still name either
        owner = subprocess.run(["dpkg-query", "-S", *paths], capture_output=True, text=True, check=False).stdout
        needed |= set(re.findall(f"^({libraries}):", owner, re.MULTILINE))
    for package in sorted(needed - installed):
        yield f"deploy/Containerfile: the build links {package}, the container does not have it"


# Kernels that may keep a few words of a thread in memory, by file, and the most bytes that one may write there: products take all the
# registers there are, and what is kept is looked at once a shift or a frame.
SPILLS = {"tracker.cu": 24, "umpa_search.cu": 40, "wxst_search.cu": 12}
KERNEL = re.compile(r"Compiling entry function '(\S+)' for '(sm_\w+)'")
SPILLED = re.compile(r"(\d+) bytes spill stores")


def rule_kernels(root, files, build):
    """Kernels of the CUDA module hold their values in registers, on every architecture that it was built for."""
    reports = sorted(Path(build).rglob("*.cu.o.usage"))
    if not reports:
        yield f"{build}: no kernel file was compiled: build speckled_cuda first"
    for report in reports:
        name, kernel = report.name.removesuffix(".o.usage"), None
        for line in report.read_text().splitlines():
            kernel = KERNEL.search(line) or kernel
            spilled = SPILLED.search(line)
            if spilled and kernel and int(spilled[1]) > SPILLS.get(name, 0):
                yield f"{name}: {kernel[1]} spills {spilled[1]} bytes for {kernel[2]}, at most {SPILLS.get(name, 0)}"
        if kernel is None:
            yield f"{name}: the compiler did not say what its kernels take"


def rule_tidy(root, files, build):
    """clang-tidy finds nothing in any C file of the build."""
    sources = [f for f in files if f.suffix == ".c" and f.parts[0] in {"daemon", "pipeline", "plugins"}]
    database = Path(build, "compile_commands.json").read_text()

    def tidy(source):
        command = ["clang-tidy", "--quiet", "-p", build, str(root / source)]
        if source.name != "status.c":
            command += ["--extra-arg=-include", f"--extra-arg={root}/tests/lint/analyzer.h"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode or "warning:" in done.stdout else None

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from filter(None, pool.map(tidy, (s for s in sources if str(root / s) in database)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the checkout")
    rules = parser.add_subparsers(dest="rule", required=True)
    for name, function in sorted(globals().items()):
        if name.startswith("rule_"):
            rule = rules.add_parser(name[5:], help=function.__doc__)
            rule.set_defaults(function=function)
            for argument in function.__code__.co_varnames[2:function.__code__.co_argcount]:
                rule.add_argument("--" + argument.replace("_", "-"), required=True)
    arguments = vars(parser.parse_args())
    function, root = arguments.pop("function"), arguments.pop("root").resolve()
    arguments.pop("rule")
    offences = list(function(root, repository_files(root), **arguments))
    print(*offences, sep="\n")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
