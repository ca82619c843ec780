"""Half of the batches monolingual in SentenceTransformerTrainer, and language bias measured while it trains.

Each data set is named by the languages of query and passage. Every batch is of one of them, on all ranks the same.
"""

from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.integrations.sentence_transformers import SentenceRetrievalEvaluator, hybrid_batches

languages = ["de", "en"]
items = atlas_corpus(languages).items[:400]  # multi-way parallel questions and passages; yours go here
data = DatasetDict(
    {
        f"{query}-{passage}": Dataset.from_dict(
            {"anchor": [item.query[query] for item in items], "positive": [item.passage[passage] for item in items]}
        )
        for query in languages
        for passage in languages
    }
)

words = Tokenizer(models.WordLevel(unk_token="[UNK]"))  # a model that trains in a second; yours goes here
words.pre_tokenizer = pre_tokenizers.Whitespace()
texts = (text for part in data.values() for column in ("anchor", "positive") for text in part[column])
words.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
model = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=32)], device="cpu")

args = SentenceTransformerTrainingArguments(
    "output",
    max_steps=20,
    per_device_train_batch_size=32,
    learning_rate=0.1,
    eval_strategy="steps",
    eval_steps=10,
    save_strategy="no",
    use_cpu=True,
    report_to=[],
    multi_dataset_batch_sampler=hybrid_batches(data, ratio=0.5, draw="stratified"),
)
evaluator = SentenceRetrievalEvaluator("atlas", languages=languages, paragraphs=30)
trainer = SentenceTransformerTrainer(
    model, args, train_dataset=data, loss=MultipleNegativesRankingLoss(model), evaluator=evaluator
)
trainer.train()
for row in trainer.state.log_history:
    if "eval_atlas_multi_map" in row:
        print(f"step {row['step']}: mAP in the pool of all languages {row['eval_atlas_multi_map']:.3f}, ", end="")
        print(f"rank distance {row['eval_atlas_multi_rank_distance']:.1f}")
