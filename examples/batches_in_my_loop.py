"""Exact shares of monolingual batches in a training loop of your own: the plan and the sampler, with NumPy alone."""

from mixlingual.batches import HybridBatchSampler, Plan, Pool, RatioSchedule, exposure

data = {
    ("de", "de"): [(f"Frage {n}", f"Antwort {n}") for n in range(90)],
    ("en", "en"): [(f"question {n}", f"answer {n}") for n in range(120)],
    ("de", "en"): [(f"Frage {n}", f"answer {n}") for n in range(90)],
}
pools = [Pool("faq", query, passage, len(pairs), weight=1.0) for (query, passage), pairs in data.items()]
plan = Plan(pools, RatioSchedule(0.25, 0.75, "linear", steps=40), seed=0, batch_size=8, stratified=True)
sampler = HybridBatchSampler(plan, [None] * len(plan.pools), seed=0)

for step in range(40):  # to go on from step 17, begin there: a batch depends on the seed and the step alone
    batch = sampler.batch(step)
    pool = plan.pools[batch.pool_B[0]]
    pairs = [data[pool.query_language, pool.passage_language][row] for row in batch.item_B]
    if step % 10 == 0:
        print(f"step {step}: {pool.label}, {pairs[0]}")
share = exposure(sampler, 40)
print(f"share of monolingual pairs {share['monolingual_ratio']}, planned {share['planned_ratio']}")
