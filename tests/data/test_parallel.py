import gzip
import json
import logging
from dataclasses import replace

import pytest

from mixlingual.config.schema import DataConfig, SourceConfig
from mixlingual.data.sources.parallel import load_parallel
from mixlingual.records import DataError, ParallelItem, fingerprint


def line(identifier, query="en de", passage="en de", **other):
    texts = {
        side: {language: f"{side} {identifier} {language}" for language in languages.split()}
        for side, languages in (("query", query), ("passage", passage))
    }
    return json.dumps({"id": identifier, **texts, **other}, ensure_ascii=False) + "\n"


def load(root, **options):
    return load_parallel(DataConfig(name="parallel", root=str(root), **options))


@pytest.fixture
def corpus(tmp_path):
    """Three files, gzip and plain, among files that are none of the corpus's."""
    root = tmp_path / "small"
    root.mkdir()
    (root / "beta.jsonl").write_text(line("b/1", "en", "de el") + line("b/2", "el", "el"), encoding="utf-8")
    with gzip.open(root / "alpha.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(line("a/1") + line("a/2", "en de el", "en", kind="faq", licence=None))
    (root / "gamma-1.jsonl").write_text(line("c/1", "de", "de"), encoding="utf-8")
    for name in ("manifest.json", "README.md", ".alpha.77.tmp.jsonl", "notes.txt.gz"):
        (root / name).write_text("not a corpus file", encoding="utf-8")
    (root / "deep.jsonl").mkdir()
    return root


def write(root, content, name="bad.jsonl"):
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root / name


def refusal(root, **options):
    with pytest.raises(DataError) as refused:
        load(root, **options)
    return str(refused.value)


def test_without_sources_every_file_is_read_in_order_of_names_into_one_source(corpus):
    loaded = load(corpus)
    assert [item.id for item in loaded.items] == ["a/1", "a/2", "b/1", "b/2", "c/1"]
    assert loaded.items[2] == ParallelItem(
        "b/1", "small", {"en": "query b/1 en"}, {"de": "passage b/1 de", "el": "passage b/1 el"}
    )
    assert (loaded.name, loaded.languages, loaded.source_weights) == ("small", ("de", "el", "en"), {"small": 5.0})


def test_sources_group_files_and_carry_weights(corpus):
    sources = {
        "z": SourceConfig(files=["alpha.jsonl.gz", "alpha"], weight=0.25),
        "m": SourceConfig(files=["gamma-?", "b*.jsonl"]),
    }
    loaded = load(corpus, sources=sources)
    assert [(item.source, item.id) for item in loaded.items] == [
        ("m", "b/1"), ("m", "b/2"), ("m", "c/1"), ("z", "a/1"), ("z", "a/2"),
    ]  # fmt: skip
    assert loaded.source_weights == {"m": 3.0, "z": 0.25}
    turned = load(corpus, sources=dict(reversed(sources.items())))
    assert list(turned.items) == list(loaded.items)
    assert replace(turned, items=()) == replace(loaded, items=())


def test_files_in_no_source_and_excluded_files_stay_unread(corpus, caplog):
    write(corpus, "broken", "delta.jsonl")
    with caplog.at_level(logging.INFO):
        loaded = load(corpus, sources={"s": SourceConfig(files=["*a*"])}, exclude=["delta", "*.gz"])
    assert [item.id for item in loaded.items] == ["b/1", "b/2", "c/1"]
    assert "stay unread" not in caplog.text
    with caplog.at_level(logging.INFO):
        load(corpus, sources={"s": SourceConfig(files=["beta"])})
    assert "3 of the 4 files" in caplog.text


def test_languages_restrict_texts_and_drop_items_that_lack_a_side(corpus, caplog):
    with caplog.at_level(logging.INFO):
        loaded = load(corpus, languages=["en", "el"])
    assert [(item.id, set(item.query), set(item.passage)) for item in loaded.items] == [
        ("a/1", {"en"}, {"en"}),
        ("a/2", {"en", "el"}, {"en"}),
        ("b/1", {"en"}, {"el"}),
        ("b/2", {"el"}, {"el"}),
    ]
    assert (loaded.languages, loaded.source_weights) == (("el", "en"), {"small": 4.0})
    assert "1 of 5 items have no (query, passage) in the chosen languages: left out" in caplog.text


def test_negatives_are_read_and_restricted_with_the_languages(tmp_path):
    write(tmp_path, line("1", negatives=[{"en": "x", "de": "y"}, {"de": "z"}]) + line("2", negatives=[]) + line("3"))
    assert [item.negatives for item in load(tmp_path).items] == [({"en": "x", "de": "y"}, {"de": "z"}), (), ()]
    assert [item.negatives for item in load(tmp_path, languages=["en"]).items] == [({"en": "x"},), (), ()]


def test_a_source_that_the_languages_empty_loses_its_weight(corpus, caplog):
    sources = {"c": SourceConfig(files=["gamma-1"], weight=2.0), "a": SourceConfig(files=["alpha"])}
    assert load(corpus, sources=sources, languages=["en"]).source_weights == {"a": 2.0}
    assert "source c has no item in the chosen languages" in caplog.text


def test_fingerprint_follows_texts_ids_and_order_but_not_the_order_of_languages(tmp_path):
    def of(content, name="a"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        write(folder, content, "x.jsonl")
        return load(folder).fingerprint

    first, second = line("1"), line("2")
    base = of(first + second)
    assert of(line("1", "de en", "de en") + second, "renamed") == base
    changed = [second + first, first, line("1", "de") + second, (first + second).replace("query 2 de", "query 2 dé")]
    fingerprints = {of(content) for content in changed}
    assert len(fingerprints) == len(changed) == 4
    assert base not in fingerprints


def test_fingerprint_covers_negatives_and_stays_as_it_was_without(tmp_path):
    def of(name, **other):
        (tmp_path / name).mkdir()
        write(tmp_path / name, line("1", **other), "x.jsonl")
        return load(tmp_path / name).fingerprint

    query, passage = ({x: f"{side} 1 {x}" for x in ("de", "en")} for side in ("query", "passage"))
    assert of("none") == of("empty", negatives=[]) == fingerprint([json.dumps(["1", query, passage])])
    changed = [[{"en": "x"}], [{"en": "y"}], [{"de": "x"}], [{"en": "x"}, {"de": "x"}], [{"de": "x"}, {"en": "x"}]]
    fingerprints = {of(f"{i}", negatives=negatives) for i, negatives in enumerate(changed)}
    assert len(fingerprints | {of("again")}) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "x", "query"', "not valid JSON"),
        ("[1, 2]", r"got \[1, 2\], not an object; write each item as one line"),
        (line(""), 'id is ""; give each item a non-empty string'),
        (line(7), "id is 7; give each item"),
        ('{"query": {"en": "q"}, "passage": {"en": "p"}}', "id is missing or null"),
        ('{"id": "x", "pasage": {"en": "p"}, "query": {"en": "q"}}', "passage is missing or null; give it a text"),
        (line("x", query=""), "query is {}; give it a text in at least one language"),
        ('{"id": "x", "query": "q", "passage": {"en": "p"}}', 'query is "q"; give it a text in at least one language'),
        (line("x", passage="english en"), "passage has the key 'english'; keys are language codes"),
        (line("x", passage="EN"), "passage has the key 'EN'; keys are language codes"),
        ('{"id": "x", "query": {"en": null}, "passage": {"en": "p"}}', "query.en is missing or null; give it a text"),
        ('{"id": "x", "query": {"en": [1]}, "passage": {"en": "p"}}', r"query.en is \[1\]; give it a text"),
        ('{"id": "x", "query": {"en": "q"}, "passage": {"de": " \\t"}}', "passage.de is .*or leave the language out"),
        (line("x", negatives={"en": "n"}), r"negatives is {.*}; give it a list of passages"),
        (line("x", negatives=None), "negatives is missing or null; give it a list .* or leave it out"),
        (line("x", negatives=[{"en": "n"}, {}]), r"negatives\[1\] is {}; give it a text in at least one language"),
        (line("x", negatives=[{"en": " "}]), r'negatives\[0\].en is " "; give it a text'),
        ('{"id": "x", "query": {"en": "\\ud800"}, "passage": {"en": "p"}}', "not valid Unicode"),
        (line("a/1"), r"the id 'a/1' is taken by .*alpha.jsonl.gz, line 1; ids are unique"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_with_file_and_line(corpus, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    path = write(corpus, line("good").encode() + content, "bad.jsonl")
    with pytest.raises(DataError, match=message) as refused:
        load(corpus)
    assert str(refused.value).startswith(f"{path}, line 2: ")


@pytest.mark.parametrize("language", ["zh-Hans", "pt_BR", "fil", "sr-Latn-RS"])
def test_regional_language_codes_are_accepted(tmp_path, language):
    write(tmp_path, line("x", language, "en"))
    assert load(tmp_path).languages == tuple(sorted((language, "en")))


def test_escaped_text_reads_like_plain_text(tmp_path):
    write(tmp_path, '{"id": "x", "query": {"en": "\\u00e9 \\ud83d\\ude00"}, "passage": {"en": "p\u2028q"}}')
    item = load(tmp_path).items[0]
    assert (item.query, item.passage) == ({"en": "é 😀"}, {"en": "p\u2028q"})


def test_an_empty_file_is_refused(corpus):
    path = write(corpus, b"\n", "empty.jsonl")
    assert refusal(corpus).startswith(f"{path}, line 1: the file is empty")


def test_a_folder_that_is_missing_or_holds_no_corpus_is_refused(tmp_path, corpus):
    assert refusal(tmp_path / "no") == (
        f"data.root={tmp_path / 'no'} is not a folder; set it to the folder of the *.jsonl or *.jsonl.gz files"
    )
    assert "is not a folder" in refusal(corpus / "README.md")
    assert "holds no *.jsonl or *.jsonl.gz file" in refusal(tmp_path)
    assert "leaves none of the 3 files" in refusal(corpus, exclude=["*"])


def test_bad_selections_are_refused(corpus):
    known = f"matches no file of {corpus}; it holds alpha, beta, gamma-1"
    assert refusal(corpus, exclude=["beta.jsonl.gz"]) == f"data.exclude: 'beta.jsonl.gz' {known}"
    assert refusal(corpus, sources={"s": SourceConfig(files=["Alpha"])}) == f"data.sources.s.files: 'Alpha' {known}"
    assert refusal(corpus, sources={"s": SourceConfig()}).startswith("data.sources.s has no file left")
    assert refusal(corpus, exclude=["beta"], sources={"s": SourceConfig(files=["beta"])}).startswith("data.sources.s")
    both = {"s": SourceConfig(files=["beta"]), "t": SourceConfig(files=["*"])}
    assert refusal(corpus, sources=both) == "beta.jsonl is in the sources 's' and 't'; keep it in one of them"
    weightless = {"s": SourceConfig(files=["*"], weight=0.0)}
    assert refusal(corpus, sources=weightless).startswith("every source of data.sources has weight 0 (s)")


def test_unknown_and_empty_languages_are_refused(corpus):
    assert refusal(corpus, languages=["en", "xx", "EN"]) == (
        "data.languages names EN, xx, in which no item has a text to train on; "
        "the files hold de, el, en: choose from these, or null for all"
    )
    assert refusal(corpus, languages=[]).startswith("data.languages is empty")


def test_real_corpus_loads_whole(real_data):
    root = real_data / "train-parallel"
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    loaded = load(root)
    sizes = {name.removesuffix(".jsonl.gz"): entry["items"] for name, entry in manifest["files"].items()}
    assert len(sizes) > 50
    assert len(loaded.items) == sum(sizes.values())
    assert list(loaded.languages) == manifest["languages"]

    chosen = {"help": SourceConfig(files=["*-help"]), "tests": SourceConfig(files=["xnli", "ntrex"], weight=0.5)}
    part = load(root, sources=chosen, exclude=["gimp-help"])
    helps = sum(size for name, size in sizes.items() if name.endswith("-help") and name != "gimp-help")
    assert part.source_weights == {"help": helps, "tests": 0.5}
