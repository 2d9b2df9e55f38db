"""What crosses over to other sets and other people, and streams too large for memory."""

from __future__ import annotations

from collections.abc import Iterator

from kinfold.benchmark.scenarios.scenario import Scenario

# Learnt on the first, used on the second, as JULE's paper and DeepCluster's claim it.
TRANSFERS = (
    ("coil20", "coil100"),
    ("coil100", "coil20"),
    ("usps", "mnist-test"),
    ("mnist-test", "usps"),
    ("mnist-full", "usps"),
)
OTHERS = ("DeepCluster", "NAT", "IMSAT", "IIC")  # beside JULE, where learning takes minutes
DIGITS = ("usps", "mnist-test")


def transfer() -> Iterator[Scenario]:
    for source, target in TRANSFERS:
        backbone = {"backbone": "convnet"} if "coil100" in (source, target) else {}
        name, preset = f"transfer-{source}-{target}", "fast" if source == "mnist-full" else "default"
        yield Scenario(name, "transfer", "transfer", "JULE", target, preset, backbone, source=source)
    for name in ("umist", "cmu-pie"):
        yield Scenario(f"verify-{name}", "transfer", "verify", "JULE", name, "default", source=name)
    for algorithm in OTHERS:
        last = algorithm.lower()
        kept = None if algorithm == "NAT" else "default"  # NAT has no presets
        for source, target in (DIGITS, DIGITS[::-1]):
            name = f"transfer-{source}-{target}-{last}"
            yield Scenario(name, "transfer", "transfer", algorithm, target, kept, source=source)
        if algorithm != "IIC":  # twenty minutes a seed on faces
            yield Scenario(f"verify-umist-{last}", "transfer", "verify", algorithm, "umist", kept, source="umist")


def streams() -> Iterator[Scenario]:
    for name, n in (("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)):
        yield Scenario(f"embed-{name}", "scale", "stream", "embed", "mnist-full", parameters={"n": n}, once=n > 10_000)
