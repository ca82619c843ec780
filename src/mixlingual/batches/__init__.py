"""Which pairs a batch holds: the plan and the sampler, for any training loop. They need NumPy alone.

    pools = [Pool("faq", "de", "de", size=900, weight=1), Pool("faq", "de", "en", size=800, weight=1)]
    plan = Plan(pools, RatioSchedule(0.5, 0.5, "constant", steps=1000), seed=0, batch_size=64)
    sampler = HybridBatchSampler(plan, [None] * len(plan.pools), seed=0)
    batch = sampler.batch(17)   # of step 17; nothing else need be kept to go on from there

`batch.item_B` are rows of the pool `plan.pools[batch.pool_B[i]]`. `HybridBatches` is the same as a batch sampler of a
DataLoader. See docs/batches.md and docs/sampler.md.
"""

from mixlingual.batches.loader import HybridBatches
from mixlingual.batches.plan import Kind, Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import Batch, HybridBatchSampler, exposure

__all__ = ["Batch", "HybridBatchSampler", "HybridBatches", "Kind", "Plan", "Pool", "RatioSchedule", "exposure"]
