"""The benchmark of token rows runs, and both sides train the same table."""

from benchmarks import token_rows as benchmark


def test_both_sides_train_the_same_table():
    (step, finish), apart = benchmark.compare(tokens=300, width=4, distinct=20, steps=20)
    assert step.unit == finish.unit == "ms"
    assert min(step.ours, step.peer, finish.ours) > 0
    assert finish.peer is None
    assert apart < 1e-5


def test_draws_are_distinct_and_skewed():
    draws = benchmark.zipf_draws(1000, 50, 40)
    assert all(len(ids.unique()) == 50 for ids in draws)
    often, seldom = (sum(int(((low <= ids) & (ids < low + 10)).sum()) for ids in draws) for low in (0, 900))
    assert often > 10 * max(1, seldom)


def test_two_processes_add_up_both_kinds_of_gradients():
    row = benchmark.exchange(tokens=300, width=4, distinct=20, repeats=2)
    assert min(row.ours, row.peer) > 0
