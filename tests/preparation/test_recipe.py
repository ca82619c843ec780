"""A recipe does what is missing, shares its work, and writes data that training reads, with all about them."""

import gzip
import json
from pathlib import Path

import pytest
from forks import run_module

from mixlingual.config.schema import DataConfig, RecipeSourceConfig
from mixlingual.data.sources.parallel import load_parallel
from mixlingual.preparation.recipe import MANIFEST, REMOVED, Recipe
from mixlingual.records import MixlingualError

from .conftest import QUESTIONS, read_lines, write_csv


def stamps(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.jsonl.gz")}


def test_from_rows_to_data_that_training_reads(recipe, engine, tmp_path):
    config = recipe(
        translate={"engines": {"a": engine.config("a"), "b": engine.config("b")}, "query": {"es": "a"},
                   "passage": {"es": "b"}},
        mine={"by": "bm25", "negatives": 2},
    )  # fmt: skip
    config.recipe.sources["faq"].license = "CC0"
    manifest = json.loads(Recipe(config).run().read_text())
    corpus = load_parallel(DataConfig(name="parallel", root=config.folder))
    assert len(corpus.items) == 6
    assert corpus.languages == ("en", "es")
    first = read_lines(Path(config.folder))[0]
    assert first["id"] == "faq/1"
    assert first["query"] == {"en": QUESTIONS[0][0], "es": " ".join("a" + w[::-1] for w in QUESTIONS[0][0].split())}
    assert first["passage"]["es"].startswith("behT bdlo bruobrah")
    assert first["made"] == {"query": {"es": "a"}, "passage": {"es": "b"}}, "each text remembers its engine"
    assert all(1 <= len(row["negatives"]) <= 4 for row in read_lines(Path(config.folder)))
    about = manifest["sources"]["faq"]
    assert (about["license"], about["read"]["rows in"], about["items"]) == ("CC0", 6, {"read": 6, "kept": 6})
    assert about["texts"] == {"query": {"en": 6, "es": 6}, "passage": {"en": 6, "es": 6}}
    assert manifest["translations"]["query en-es a"]["kept"] == 6
    assert " a 0" in manifest["translations"]["query en-es a"]["engine"]
    assert manifest["mining"]["by"] == "bm25"
    assert sum(manifest["files"].values()) == 6
    assert set(manifest["files"]) == {path.name for path in Path(config.folder).glob("*.jsonl.gz")}


def test_a_changed_recipe_redoes_only_what_depends_on_the_change(recipe, engine, tmp_path, questions):
    def run(**changes):
        translate = {"engines": {"x": engine.config()}, "query": {"es": "x"}, "passage": {"es": "x"}}
        Recipe(recipe(translate=translate, **changes)).run()
        return stamps(tmp_path / "cache" / "prepare")

    first = run()
    lines = len(engine.seen())
    assert lines == 12
    assert run() == first, "nothing is missing, so nothing is done"
    mined = run(mine={"by": "bm25"})
    assert {path: mined[path] for path in first} == first
    assert {path.partition("-")[0] for path in mined.keys() - first.keys()} == {"mine"}
    filtered = run(query_characters=[40, 1000])
    assert {path.partition("-")[0] for path in filtered.keys() - mined.keys()} == {"check", "copies", "translate"}
    assert len(engine.seen()) == lines, "no line is translated twice"
    write_csv(questions, [*QUESTIONS, ("What is sold in the market hall?", "Fish and bread are sold there.")])
    changed = run()
    assert any(path.startswith("read-") for path in changed.keys() - filtered.keys())
    assert len(engine.seen()) == lines + 2, "only the new row's texts"


def test_texts_that_are_left_out_are_listed_with_the_reason(recipe, tmp_path, questions):
    write_csv(
        questions,
        [
            QUESTIONS[0],
            ("¿Dónde está el puerto viejo de la ciudad, por favor?", "The old harbour lies behind the market hall."),
            ("  where is the OLD harbour of the town?", QUESTIONS[0][1]),
            ("Is it?", "Yes."),
        ],
    )
    manifest = json.loads(Recipe(recipe()).run().read_text())
    removed = manifest["sources"]["faq"]["removed"]
    assert removed == {
        "query in another language": 1, "no query left": 1, "passage too short": 1, "no passage left": 1, "copy": 1,
    }  # fmt: skip
    packed = (tmp_path / "prepared" / REMOVED).read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert [(line["id"], line["reason"]) for line in lines] == [
        ("faq/2", "query in another language"), ("faq/2", "no query left"), ("faq/4", "passage too short"),
        ("faq/4", "no passage left"), ("faq/3", "copy"),
    ]  # fmt: skip


def test_a_file_that_nothing_is_left_of_goes_and_a_strange_one_stays(recipe, tmp_path):
    Recipe(recipe()).run()
    folder = tmp_path / "prepared"
    assert len(list(folder.glob("*.jsonl.gz"))) == 3
    Recipe(recipe(shard_items=6)).run()
    assert [path.name for path in folder.glob("*.jsonl.gz")] == ["faq-00000.jsonl.gz"]
    (folder / "mine.jsonl").write_text("{}\n")
    with pytest.raises(MixlingualError, match=r"mine.jsonl, which this recipe did not write"):
        Recipe(recipe(shard_items=3)).run()
    assert (folder / "mine.jsonl").exists()
    assert json.loads((folder / MANIFEST).read_text())["files"] == {"faq-00000.jsonl.gz": 6}


def test_sources_are_kept_apart_and_may_stay_untranslated(recipe, engine, questions, tmp_path):
    write_csv(tmp_path / "other.csv", [QUESTIONS[0], ("Who keeps the bees on the roof?", "The baker keeps the bees.")])
    sources = {
        "faq": RecipeSourceConfig(files=[str(questions)], limit=3),
        "other": RecipeSourceConfig(files=[str(tmp_path / "other.csv")], translate=False),
    }
    sources["other"].pairs.language = "en"
    translate = {"engines": {"x": engine.config()}, "query": {"es": "x"}}
    manifest = json.loads(Recipe(recipe(sources=sources, translate=translate)).run().read_text())
    rows = read_lines(tmp_path / "prepared")
    assert [row["id"] for row in rows] == ["faq/1", "faq/2", "faq/3", "other/2"], "a copy in another source goes"
    assert [sorted(row["query"]) for row in rows] == [["en", "es"]] * 3 + [["en"]]
    assert manifest["sources"]["other"]["removed"] == {"copy": 1}


def test_workers_share_a_recipe(recipe, engine, questions, tmp_path):
    command = json.dumps(engine.config().command).replace('"', "'")
    words = [
        "recipe=local", f"recipe.sources.local.files=[{questions}]", "evaluation=none", "recipe.shard_items=1",
        f"recipe.translate.engines={{x: {{command: {command}}}}}",
        "+recipe.translate.query.es=x",
        "recipe.translate.copied=1", "recipe.translate.identify=false", "recipe.mine.by=bm25",
        "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", "worker=0,1,2",
    ]  # fmt: skip
    recipe()
    done = run_module(tmp_path, "mixlingual.prepare", "-m", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(read_lines(tmp_path / "prepared" / "local")) == 6
    assert sorted(engine.seen()) == sorted(question for question, _ in QUESTIONS), "each line once, by one of them"
    assert sorted(path.parent.name for path in tmp_path.rglob("result.json")) == ["worker_0", "worker_1", "worker_2"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("recipe.sources.local.files=[nowhere.csv]", "nowhere.csv"),
        ("+recipe.translate.query.es=nllb", "recipe.translate names the engine nllb"),
        ("recipe.mine.first_rank=60", "recipe.mine.first_rank: got 60"),
        ("recipe.filter.query_characters=[5]", "it takes two numbers"),
    ],
)
def test_a_mistake_is_said_before_anything_is_read(tmp_path, questions, word, message):
    words = ["recipe=local", f"recipe.sources.local.files=[{questions}]", "evaluation=none", word]
    done = run_module(tmp_path, "mixlingual.prepare", *words, MIXLINGUAL_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache" / "prepare").exists()


def test_the_cost_is_said_from_what_is_read(recipe, engine, tmp_path, questions):
    recipe()
    words = [
        "recipe=local", f"recipe.sources.local.files=[{questions}]", "evaluation=none",
        "recipe.translate.engines={x: {command: [cat], parameters: 6e8}}", "+recipe.translate.query.es=x",
        "+recipe.translate.passage.es=x",
    ]  # fmt: skip
    done = run_module(tmp_path, "mixlingual.preflight", *words)
    assert done.returncode == 0, done.stderr
    texts = [sum(len(pair[side].encode()) for pair in QUESTIONS) / 6 / 4 for side in (0, 1)]
    assert f"local: 6 items of {texts[0]:.0f} + {texts[1]:.0f} tokens in 1 language, 2 then" in done.stdout
    hours = 2 * 6e8 * 2 * sum(texts) * 6 / (312e12 * 0.1) / 3600
    assert f"translate by x: {hours:.2g} h" in done.stdout
    assert not (tmp_path / "prepared").exists()
