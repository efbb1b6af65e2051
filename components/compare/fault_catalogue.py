"""The faults that `assay faults` injects. What each comes to is measured, and stands in no code."""

from __future__ import annotations

from components.compare.faults import Fault, Moment

FAULTS: tuple[Fault, ...] = (
    Fault(
        "dollars_to_cents",
        "From one year on, spending is recorded in cents instead of dollars",
        "People look a hundred times as ill as they are, and care goes to the wrong ones.",
        Moment.DATA,
    ),
    Fault(
        "new_category",
        "A site that nobody has seen before turns up in the current years",
        "The model guesses for people it knows nothing about.",
        Moment.DATA,
    ),
    Fault(
        "category_gone",
        "One site no longer delivers its rows in the current years",
        "A region's people are judged by a model that no longer learns from them.",
        Moment.DATA,
    ),
    Fault(
        "group_dropped",
        "Nine in ten rows of one protected group are lost on the way",
        "The group is too small for anyone to see that the model fails it.",
        Moment.DATA,
    ),
    Fault(
        "leaked_label",
        "A feature holds the answer",
        "The model shines in every test and knows nothing about new people.",
        Moment.DATA,
    ),
    Fault(
        "flipped_labels",
        "The labels of one protected group are turned round",
        "The model learns to deny care to those of the group who need it.",
        Moment.DATA,
    ),
    Fault(
        "span_twice",
        "One year's rows are delivered and read twice",
        "The same people count double, and every interval is too narrow.",
        Moment.DATA,
    ),
    Fault(
        "phi_in_text",
        "A free-text column with names and numbers of people comes with the data",
        "Identities end in logs and registries that nobody guards as they guard data.",
        Moment.DATA,
    ),
    Fault(
        "stale_baseline",
        "Drift is compared with a baseline that was taken from the current years themselves",
        "Drift is measured, found to be none, and is there.",
        Moment.SETTINGS,
    ),
    Fault(
        "baseline_deleted",
        "The rows that drift is to be compared with are gone",
        "There is nothing to compare with, and a check that compares nothing passes.",
        Moment.SETTINGS,
    ),
    Fault(
        "threshold_removed",
        "The fairness limits are deleted from the policy",
        "A model that fails one group is released, with every remaining check green.",
        Moment.SETTINGS,
    ),
    Fault(
        "nan_metric",
        "Training diverges, and the scores are no numbers",
        "A comparison with NaN is never true, so a check for 'worse than' finds nothing.",
        Moment.SETTINGS,
    ),
    Fault(
        "empty_slice",
        "A protected group has no case at all among those the model is judged on",
        "The group's figure does not exist, and nobody misses it.",
        Moment.DATA,
    ),
    Fault(
        "serving_skew",
        "The exported model prepares its inputs in another way than training did",
        "The model that was tested is not the one that decides.",
        Moment.RUN,
    ),
    Fault(
        "row_edited",
        "One row past the first 10,000 is changed after the release",
        "What the model was judged on can no longer be shown.",
        Moment.AFTER,
    ),
    Fault(
        "file_edited",
        "A data file is changed after the release, its size and time kept",
        "What the model learned from can no longer be shown.",
        Moment.AFTER,
    ),
    Fault(
        "schema_loosened",
        "After the release the schema is widened, so that the data of then would pass anything",
        "A check that would have failed looks as if it had been passed.",
        Moment.AFTER,
    ),
    Fault(
        "model_edited",
        "One byte of the served model is changed after it was released",
        "Another model decides than the one that was tested.",
        Moment.AFTER,
    ),
    Fault(
        "mlflow_run_deleted",
        "The run behind a release is deleted in MLflow",
        "Nobody can say how the model that decides was made.",
        Moment.AFTER,
        ("pytorch",),
    ),
    Fault(
        "mlflow_metric_edited",
        "A metric of a released run is made better in MLflow's database",
        "An auditor reads a figure that was never measured.",
        Moment.AFTER,
        ("pytorch",),
    ),
    Fault(
        "alias_moved",
        "The alias of the model in use is moved by hand to a version that no gate has seen",
        "A model decides that nobody has judged.",
        Moment.AFTER,
        ("pytorch",),
    ),
    Fault(
        "mlmd_property_edited",
        "A property of a released run is changed in ML Metadata's database",
        "An auditor reads something that never was.",
        Moment.AFTER,
        ("tfx",),
    ),
    Fault(
        "mlmd_run_deleted",
        "The executions behind a release are deleted in ML Metadata",
        "Nobody can say how the model that decides was made.",
        Moment.AFTER,
        ("tfx",),
    ),
    Fault(
        "record_removed",
        "The record of one stage is taken out of a released run's evidence",
        "What the stage found is gone, and the rest looks whole.",
        Moment.AFTER,
    ),
    Fault(
        "waiver_replayed",
        "A waiver that has run out is used once more to release a model whose gate is closed",
        "A gate stays open for good because two people once agreed to open it for a while.",
        Moment.AFTER,
    ),
)
"""In the order in which they stand in the matrix."""
