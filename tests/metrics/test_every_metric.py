"""Every registered metric against scikit-learn, in batches, weighted; and the corners."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as judge

from numbacnn import registry
from numbacnn.errors import ConfigError
from numbacnn.metrics.accuracy import Accuracy
from numbacnn.metrics.average_precision import AveragePrecision, average_precision
from numbacnn.metrics.f1 import F1
from numbacnn.metrics.precision import Precision
from numbacnn.metrics.recall import Recall
from numbacnn.metrics.top_k import TopK

CONFUSIONS = [(Precision, judge.precision_score), (Recall, judge.recall_score), (F1, judge.f1_score)]


def measure(metric, target, prediction, weight, link, batch=7):
    """As evaluation does: what batches say, added up."""
    sums = [metric.count(target[i : i + batch], prediction[i : i + batch], weight[i : i + batch], link) for i in range(0, len(target), batch)]
    assert all(s.dtype == np.float64 for s in sums)
    value = metric.result(functools.reduce(metric.add, sums, None))
    assert isinstance(value, float)
    return value


def single_label(classes=6, count=60):
    """Class 5 is never right, class 4 never said: 0/0 happens."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes - 1, size=count)
    p = rng.dirichlet(np.ones(classes), size=count).astype(np.float32)
    p[np.arange(count), labels] += rng.uniform(0, 0.6, count).astype(np.float32)
    p[:, 4] = 0
    return labels, np.eye(classes, dtype=np.float32)[labels], p, rng.uniform(0.1, 3, count)


def multi_label(classes=5, count=60):
    rng = np.random.default_rng(1)
    t = (rng.uniform(size=(count, classes)) < [0.5, 0.2, 0.7, 0.0, 0.4]).astype(np.float32)
    return t, np.clip(t * 0.4 + rng.uniform(size=t.shape) * 0.7, 0, 1).astype(np.float32), rng.uniform(0.1, 3, count)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize(("metric", "oracle"), CONFUSIONS)
def test_confusions_single_label(metric, oracle, average):
    labels, t, p, w = single_label()
    for link in ("softmax", None):
        for weight in (np.ones(len(w)), w):
            want = oracle(labels, p.argmax(1), labels=range(6), average=average, sample_weight=weight, zero_division=0)
            assert measure(metric(average=average), t, p, weight, link) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize(("metric", "oracle"), CONFUSIONS)
def test_confusions_multi_label(metric, oracle, threshold, average):
    t, p, w = multi_label()
    want = oracle(t, p > threshold, average=average, sample_weight=w, zero_division=0)
    assert measure(metric(threshold, average), t, p, w, "sigmoid") == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(("metric", "oracle"), CONFUSIONS)
def test_confusions_of_one_column(metric, oracle):
    t, p, w = (a[:, :1] if a.ndim == 2 else a for a in multi_label())
    want = oracle(t[:, 0], p[:, 0] > 0.5, average="binary", sample_weight=w)
    for link in ("sigmoid", None):
        assert measure(metric(), t, p, w, link) == pytest.approx(want, abs=1e-12)


def test_accuracy():
    labels, t, p, w = single_label()
    assert measure(Accuracy(), t, p, w, "softmax") == pytest.approx(judge.accuracy_score(labels, p.argmax(1), sample_weight=w), abs=1e-12)
    t, p, w = multi_label()
    want = np.average((t == (p > 0.5)).mean(1), weights=w)
    assert measure(Accuracy(), t, p, w, "sigmoid") == pytest.approx(want, abs=1e-12)
    want = judge.accuracy_score(t[:, 0], p[:, 0] > 0.7)
    assert measure(Accuracy(0.7), t[:, :1], p[:, :1], np.ones(len(t)), None) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_average_precision(average):
    for t, p, w in (single_label()[1:], multi_label()):
        present = (t > 0).any(0)  # scikit-learn warns of the others, which count 0
        assert not present.all()
        p = p.round(1)  # ties
        for weight in (np.ones(len(w)), w):
            want = judge.average_precision_score(t[:, present], p[:, present], average=None, sample_weight=weight)
            each = np.zeros(len(present))
            each[present] = want
            metric = AveragePrecision(average)
            parts = [metric.count(t[i : i + 9], p[i : i + 9], weight[i : i + 9], "sigmoid") for i in range(0, len(t), 9)]
            np.testing.assert_allclose(metric.each(functools.reduce(metric.add, parts, None)), each, atol=1e-12)
            want = each.mean() if average == "macro" else judge.average_precision_score(t, p, average="micro", sample_weight=weight)
            assert measure(metric, t, p, weight, "sigmoid") == pytest.approx(want, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30).filter(lambda s: any(t and w for t, _, w in s)))
def test_average_precision_with_ties_and_weights_of_zero(samples):
    true, scores, weight = np.array(samples, float).T
    want = judge.average_precision_score(true, scores, sample_weight=weight)
    assert average_precision(true, scores, weight) == pytest.approx(want, abs=1e-12)


def test_what_was_added_up_is_not_changed_by_adding():
    metric, (t, p, w) = AveragePrecision(), multi_label()
    one = metric.add(None, metric.count(t[:5], p[:5], w[:5], "sigmoid"))
    value = metric.result(one)
    metric.add(one, metric.count(t[5:], p[5:], w[5:], "sigmoid"))
    assert metric.result(one) == value


def test_each_class_by_itself():
    t, p, w = multi_label()
    for metric, oracle in CONFUSIONS:
        want = oracle(t, p > 0.5, average=None, sample_weight=w, zero_division=0)
        np.testing.assert_allclose(metric().each(metric().count(t, p, w, "sigmoid")), want, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 9])
def test_top_k(k):
    labels, t, p, w = single_label()
    p = p + np.arange(6, dtype=np.float32) * 1e-6  # no ties
    want = 1 if k >= 6 else judge.top_k_accuracy_score(labels, p, k=k, sample_weight=w, labels=range(6))
    assert measure(TopK(k), t, p, w, "softmax") == pytest.approx(want, abs=1e-12)


def test_top_k_of_several_labels_and_ties():
    t = np.array([[0, 1, 1], [1, 0, 0.0]])
    p = np.array([[0.5, 0.2, 0.9], [0.5, 0.9, 0.6]])
    assert measure(TopK(1), t, p, np.ones(2), "sigmoid") == 0.5
    same = np.full((3, 3), 1 / 3)
    assert measure(TopK(1), np.eye(3), same, np.ones(3), "softmax") == measure(Accuracy(), np.eye(3), same, np.ones(3), "softmax") == pytest.approx(1 / 3)
    assert measure(TopK(), np.eye(3), same, np.ones(3), "softmax") == 1


@pytest.mark.parametrize("link", ["softmax", "sigmoid", None])
def test_positions_of_images_count_like_samples(link):
    rng = np.random.default_rng(2)
    t = np.eye(4)[rng.integers(4, size=(5, 2, 3))]
    p, w = rng.dirichlet(np.ones(4), size=(5, 2, 3)), rng.uniform(size=5)
    for metric in (Accuracy(), TopK(2), Precision(), Recall(average="micro"), F1(), AveragePrecision()):
        flat = measure(metric, t.reshape(-1, 4), p.reshape(-1, 4), np.repeat(w, 6), link)
        assert measure(metric, t, p, w, link, batch=2) == pytest.approx(flat, abs=1e-12)


def test_nothing_seen_is_zero():
    nothing = np.zeros((0, 3))
    for metric in (Accuracy(), TopK(), Precision(), Recall(), F1(average="micro"), AveragePrecision(), AveragePrecision("micro")):
        assert measure(metric, np.eye(3), np.eye(3), np.zeros(3), "softmax") == 0
        assert metric.result(metric.add(None, metric.count(nothing, nothing, np.zeros(0), "softmax"))) == 0


def test_names_and_bad_options():
    assert {registry.metrics[n]().name for n in registry.metrics} == {"accuracy", "top_5", "precision", "recall", "f1", "average_precision"}
    assert TopK(3).name == "top_3"
    for make in (
        lambda: TopK(0),
        lambda: TopK(2.5),
        lambda: Precision(1.5),
        lambda: Accuracy(-1),
        lambda: F1(average="weighted"),
        lambda: AveragePrecision("weighted"),
    ):
        with pytest.raises(ConfigError):
            make()
