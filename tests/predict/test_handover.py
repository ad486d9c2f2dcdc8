"""Tables that one program of a folder writes and another reads."""

from __future__ import annotations

from pathlib import Path

from mllint_bio.events import Fit, Load, Score, Split
from mllint_bio.rows import YES
from tests.predict.conftest import Run

SCALE = """
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
table = pd.read_csv("raw.csv")
train, test = train_test_split(table, random_state=0)
scaler = StandardScaler()
"""
READ = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
table = pd.read_csv("scaled.csv")
X_train, X_test, y_train, y_test = train_test_split(table[["age"]], table["label"], random_state=0)
model = LogisticRegression().fit(X_train, y_train)
print(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
"""


def facts(run: Run, *steps: str, **more: str) -> set[str]:
    """Where what reaches the score was learned."""
    files = {f"{name}.py": text for name, text in more.items()}
    trace = run(READ, {**files, **({"scale.py": SCALE + "\n".join(steps)} if steps else {})})
    (score,) = trace.of(Score)
    fits = [trace.events[fact.fit] for fact in score.inputs]
    assert all(
        isinstance(fit, Fit) and fact.rows.overlap(score.data.rows) is YES for fit, fact in zip(fits, score.inputs, strict=True)
    )
    return {Path(fit.at.path).name for fit in fits}


def test_statistics_of_the_whole_table_come_along(run: Run) -> None:
    """A table that was scaled as a whole by an earlier script is scaled for its readers, over several scripts."""
    assert facts(run, "pd.DataFrame(scaler.fit_transform(table)).to_csv('scaled.csv')") == {"scale.py"}
    through = (
        "import pandas as pd\nfrom sklearn.impute import SimpleImputer\npd.read_csv('a.csv').dropna().to_csv('scaled.csv')\n"
    )
    assert facts(run, "pd.DataFrame(scaler.fit_transform(table)).to_csv('a.csv')", through=through) == {"scale.py"}


def test_what_says_nothing_of_the_readers_rows_stays_behind(run: Run) -> None:
    """Parts of a split, transforms of other rows, files of several writers or of none, programs in a ring."""
    assert facts(run, "pd.DataFrame(scaler.fit_transform(train)).to_csv('scaled.csv')") == set()
    assert facts(run, "scaler.fit(train)", "pd.DataFrame(scaler.transform(table)).to_csv('scaled.csv')") == set()
    whole = "pd.DataFrame(scaler.fit_transform(table)).to_csv('scaled.csv')"
    assert facts(run, whole, again="pd.DataFrame(x).to_csv('scaled.csv')") == set()
    assert facts(run, "pd.DataFrame(scaler.fit_transform(table)).to_csv('other.csv')") == set()
    ring = SCALE.replace("raw.csv", "back.csv") + "table.to_csv('scaled.csv')"
    assert facts(run, one=ring, two=SCALE.replace("raw.csv", "scaled.csv") + "table.to_csv('back.csv')") == set()


def test_own_files_hold_the_rows_that_were_written(run: Run) -> None:
    """A file that is written and read again by one program gives its rows back; one that is appended to does not."""
    text = SCALE + "{}\nagain = pd.read_csv('part.csv')\n"
    for write, same in (("test.to_csv('part.csv')", True), ("test.to_csv('part.csv', mode='a')", False)):
        (first, last) = run(text.format(write)).of(Load)
        assert (last.data.rows.subset(first.data.rows) is YES) is same


def test_several_rows_of_one_entity_stay_several(run: Run) -> None:
    """A table of several rows a patient has them for its readers, wherever the file with its whole path was written."""
    write = """
import pandas as pd
visits, chosen = pd.read_csv("/data/visits.csv"), pd.DataFrame()
for patient in visits["patient"].unique():
    chosen = pd.concat([chosen, visits[visits["patient"] == patient].iloc[:5]])
chosen.to_csv(r"{}")
"""
    for writer, place, same in (
        ("tables/scale.py", "scaled.csv", False),
        ("models/scale.py", "scaled.csv", True),
        ("tables/scale.py", "/data/scaled.csv", True),
    ):
        files = {writer: write.format(place)}
        (split,) = run(READ.replace("scaled.csv", place), files, name="models/main.py").of(Split)
        assert (split.data.group == "patient") is same, (writer, place)
