"""Fills in what the metrics' originals give for the pairs of this folder: see README.md.

    python3 expected.py FOLDER

FOLDER holds LongBench's metrics.py, RULER's scripts/eval/synthetic/constants.py as ruler_constants.py, SQuAD's evaluate-v2.0.py as squad.py, and the packages
rouge 1.0.1 and fuzzywuzzy.
"""
import json
import pathlib
import re
import sys
import types

sys.path.insert(0, sys.argv[1])
for unused in ("jieba", "numpy"):  # For Chinese words and for SQuAD's curves.
    sys.modules[unused] = types.ModuleType(unused)
import metrics
import ruler_constants
import squad


def ruler(score):
    def judge(answer, references, classes):
        # As RULER prepares answers: trimmed, control characters as newlines.
        answer = re.sub(r"[\x00-\x1f]", "\n", answer.strip()).strip()
        return score(answer, references)
    return judge


def match_all(answer, references):
    # One reference at a time: RULER rounds its mean over samples to two decimals.
    return sum(ruler_constants.string_match_all([answer], [[r]]) for r in references) / 100 / len(references)


def match_any(answer, references):
    return ruler_constants.string_match_part([answer], [references]) / 100


def best(score):
    return lambda answer, references, classes: max(score(answer, r, all_classes=classes) for r in references)


def exact_match(answer, reference, **_):
    return squad.compute_exact(reference, answer)


def retrieval(answer, reference, **_):
    english = re.search(r"Paragraph \d", reference)
    return (metrics.retrieval_score if english else metrics.retrieval_zh_score)(answer, reference)


JUDGES = {
    "match-all": ruler(match_all),
    "match-any": ruler(match_any),
    "exact-match": best(exact_match),
    "f1": best(metrics.qa_f1_score),
    "rouge-l": best(metrics.rouge_score),
    "classification": best(metrics.classification_score),
    "retrieval": best(retrieval),
    "count": best(metrics.count_score),
    "edit-similarity": best(metrics.code_sim_score),
}

for name, judge in JUDGES.items():
    path = pathlib.Path(__file__).with_name(name + ".jsonl")
    pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for pair in pairs:
        answer = pair["answer"]
        if pair.get("first_line"):
            answer = answer.lstrip("\n").split("\n")[0]
        pair["expected"] = float(judge(answer, pair["references"], pair.get("classes", [])))
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    print(name, len(pairs), sum(0 < pair["expected"] < 1 for pair in pairs), sum(pair["expected"] == 1 for pair in pairs))
