from __future__ import annotations

import pytest

import kinfold
from kinfold.benchmark import baselines, speed, study
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.fitting import estimator
from kinfold.benchmark.scenarios import SCENARIOS, select
from kinfold.benchmark.scenarios.baselines import ON_PIXELS, infeasible
from kinfold.benchmark.scenarios.jule import DEFECTS
from kinfold.benchmark.scenarios.scenario import HERE, PRETRAINED
from kinfold.errors import InputError

JULE_SETS = ["umist", "coil20", "coil100", "usps", "mnist-test", "mnist-full", "cmu-pie", "cifar10", "flowers5"]


@pytest.mark.parametrize("name", JULE_SETS)
def test_every_set_has_its_permanent_ids(name: str) -> None:
    for identifier in (f"jule-{name}-default", f"jule-{name}-paper", f"kmeans-pixels-{name}", f"gdl-pixels-{name}"):
        assert SCENARIOS[identifier].dataset == name


def test_ids_say_what_they_are() -> None:
    assert [f"agglomerate-{n}" in SCENARIOS for n in (10_000, 70_000, 1_000_000)] == [True] * 3
    assert "agglomerate-dense-3000" in SCENARIOS
    for identifier, found in SCENARIOS.items():
        assert found.id == identifier
        assert identifier == identifier.lower()
        assert found.dataset is None or found.dataset in SETS


def test_what_is_not_run_has_a_reason() -> None:
    for prefix in ON_PIXELS:
        for name in HERE:
            ran, reason = f"{prefix}-{name}" in SCENARIOS, infeasible(prefix, name)
            assert ran == (reason is None)
    assert "9" not in str(infeasible("spectral-pixels", "umist"))


def test_every_method_and_part_exists() -> None:
    for found in SCENARIOS.values():
        if found.group == "baselines":
            assert found.algorithm in baselines.METHODS
        if found.group == "speed":
            assert set(speed.parts(found)) <= set(speed.PARTS)


def test_every_estimator_can_be_made_as_its_scenario_says() -> None:
    for found in SCENARIOS.values():
        if hasattr(kinfold, found.algorithm) and found.task not in ("first-steps", "probe"):
            estimator(found, 10, 0)


def test_pretrained_is_said_where_a_pretrained_backbone_is_asked_for() -> None:
    for found in SCENARIOS.values():
        if found.group == "jule":
            assert (found.pretrained is not None) == (found.parameters.get("backbone") == PRETRAINED)
        elif found.group == "baselines":
            assert (found.pretrained is not None) == found.algorithm.endswith("_features")
        else:
            assert found.pretrained is None


def test_what_is_compared_with_the_paper_saw_no_other_images() -> None:
    for found in SCENARIOS.values():
        if found.preset == "paper" or found.dataset == "coil100":
            assert found.pretrained is None or found.variant == "frozen" or "-features-" in found.id


def test_a_command_selects_the_scenario_it_is_printed_beside() -> None:
    for found in SCENARIOS.values():
        words = found.command.split()
        options = dict(zip(words[3::2], words[4::2], strict=True))
        chosen = select(words[2], options.get("--only"), options.get("--preset"))
        assert found in chosen, found.id


def test_the_table_of_an_algorithm_has_its_baselines() -> None:
    assert [s.id for s in select("jule", "usps")] == ["jule-usps-default", "kmeans-pixels-usps", "gdl-pixels-usps"]
    assert [s.id for s in select("jule", "usps", "paper")] == ["jule-usps-paper"]
    assert [s.id for s in select("jule-usps-paper")] == ["jule-usps-paper"]
    with pytest.raises(InputError, match="only='umist'"):
        select("jule-usps-paper", "umist")
    assert [s.id for s in select("jule", "cifar10", "frozen")] == ["jule-cifar10-frozen"]
    assert {s.variant for s in select("jule", "usps", "all")} == {"default", "paper", "fast"}
    assert [s.id for s in select("gdl-pixels-umist")] == ["gdl-pixels-umist"]


def test_imsat_has_its_permanent_ids() -> None:
    for identifier in ("imsat-mnist-full-paper", "imsat-rpt-mnist-full-paper", "imsat-hash-mnist-full"):
        assert SCENARIOS[identifier].preset == "paper"
    assert [s.id for s in select("imsat", "mnist-test")] == ["imsat-mnist-test-default", "kmeans-pixels-mnist-test"]
    assert {s.preset for s in select("imsat", preset="paper")} == {"paper"}
    assert {"transfer-mnist-full-usps", "verify-umist-nat"} <= {s.id for s in select("transfer")}
    unequal = SETS["mnist-unbalanced"]
    assert unequal.kept == (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    prior = SCENARIOS["imsat-mnist-unbalanced-prior"].parameters["prior"]
    assert sum(prior) == pytest.approx(1)


def test_every_change_of_imsat_is_a_parameter() -> None:
    from kinfold import IMSAT, IMSATHash

    for found in SCENARIOS.values():
        if found.group == "imsat":
            known = (IMSATHash() if found.task == "retrieve" else IMSAT()).get_params()
            assert set(found.parameters) <= set(known), found.id


def test_unknown_names_are_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"no benchmark scenario 'nothing'; expected jule"):
        select("nothing")
    with pytest.raises(ValueError, match=r"only='mars'; expected a set among umist"):
        select("jule", "mars")


def test_every_change_is_a_parameter_that_the_estimator_has() -> None:
    from kinfold import JULE
    from kinfold.algorithms import jule

    known = JULE().get_params()
    for found in SCENARIOS.values():
        if found.algorithm == "JULE" and found.group in ("jule", "ablation"):
            assert set(found.parameters) <= set(known), found.id
            assert found.preset in jule.PRESETS
    assert DEFECTS == jule.RELEASED


def test_every_row_of_the_study_has_its_permanent_id() -> None:
    from kinfold import InformationStudy

    *found, longer, beside = select("information-study")
    assert (longer.id, longer.parameters["n_epochs"]) == ("study-imsat-vat-longer", 32)
    assert beside.id == "kmeans-pixels-mnist-test"
    assert len(found) == len(study.ROWS) == 37
    assert {"study-imsat-vat", "study-iic-geo", "study-reg-cutout"} <= {s.id for s in found}
    for each in found:
        assert set(each.parameters) <= set(InformationStudy().get_params())
    assert [s.id for s in select("information-study", "study-iic-geo")] == ["study-iic-geo"]
