from mixlingual.data.writing_systems import script_of
from mixlingual.reporting.languages import in_script_order


def test_languages_of_one_script_stand_together():
    shuffled = ["zh", "ar", "vi", "th", "ru", "de", "hi", "en", "el", "tr", "es", "de"]
    assert in_script_order(shuffled) == ["de", "en", "es", "tr", "vi", "el", "ru", "ar", "hi", "th", "zh"]


def test_scripts():
    codes = ("de", "el", "sr", "ar", "zh", "zh-Hant", "sr_Latn", "ja", "xx")
    assert [script_of(code) for code in codes] == ["Latn", "Grek", "Cyrl", "Arab", "Hans", "Hant", "Latn", "Jpan", ""]


def test_unlisted_scripts_and_unknown_languages_come_last():
    assert in_script_order(["xx", "ta", "ko", "he", "sw"]) == ["sw", "ko", "xx", "he", "ta"]
