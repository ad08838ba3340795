"""The verb groups `train` and `annotate`."""

from __future__ import annotations

from console.terminal import options
from console.train import train_options
from notemill.verbs.groups import annotate_verb, train_verb


@train_verb("prepare", epilog="Example: `notemill train prepare Gath_baize.csv --inspect`")
def train_prepare(
    sources: train_options.Sources,
    output: train_options.PreparedOutput = None,
    inspect: train_options.Inspect = False,
    held_out: train_options.HeldOut = None,
    medical_origin: train_options.MedicalOrigin = None,
    text_column: train_options.TextColumn = "",
    origin_column: train_options.OriginColumn = "",
    revision: train_options.Revision = None,
    validation_share: train_options.ValidationShare = 0.02,
    seed: train_options.Seed = 1,
    limit: options.Limit = None,
    as_json: options.Json = False,
) -> int:
    """Make a folder to train on from conversations and annotated notes.

    Filters the medical conversations, drops what is the same, nearly the same or in a held-out file, and
    splits by conversation and note. Every row is counted: kept, dropped with its reason, or broken.
    """
    from console.train.prepare_command import prepare_data
    from training.data.prepare import PrepareRequest
    from training.data.row_formats import RowColumns

    request = PrepareRequest(
        sources=tuple(sources),
        columns=RowColumns(text_column, origin_column),
        origins=frozenset(medical_origin or ()),
        revision=revision,
        held_out=tuple(held_out or ()),
        validation_share=validation_share,
        seed=seed,
        limit=limit,
    )
    return prepare_data(request, output, is_inspecting=inspect, as_json=as_json)


@train_verb(
    "corpus",
    epilog="Example: `notemill train corpus mtsamples --notes mtsamples/ --output corpora/mtsamples`",
)
def train_corpus(
    name: train_options.CorpusName,
    notes: train_options.CorpusNotes,
    output: train_options.CorpusOutput,
    as_json: options.Json = False,
) -> int:
    """Put the texts of public notes and our annotations of them together.

    notemill contains the annotations by character offset, not the texts.
    """
    from console.train.corpus_command import write_corpus

    return write_corpus(name, notes, output, as_json=as_json)


@train_verb("finetune", epilog="Example: `notemill train finetune --data prepared --output adapter`")
def train_finetune(
    data: train_options.Data = None,
    output: train_options.AdapterOutput = None,
    weights: train_options.Weights = None,
    recipe: train_options.RecipeName = None,
    start: train_options.Start = None,
    epochs: train_options.Epochs = None,
    steps: train_options.Steps = None,
    stop_after: train_options.StopAfter = None,
    restart: train_options.Restart = False,
    plan: train_options.PlanOnly = False,
    gib: options.Gib = None,
    as_json: options.Json = False,
) -> int:
    """Train an adapter on a prepared folder.

    Killed or stopped, the same command goes on from the last checkpoint with the losses it would have had.
    """
    from console.train.finetune_command import FinetuneRequest, finetune_weights

    wanted = FinetuneRequest(
        data=data,
        output=output,
        weights=weights,
        recipe=recipe,
        start=start,
        changes={"epochs": epochs, "max_steps": steps},
        stop_after_steps=stop_after,
        is_restarting=restart,
    )
    return finetune_weights(wanted, gib_of_card=gib, is_plan=plan, as_json=as_json)


@train_verb("evaluate", epilog="Example: `notemill train evaluate --task entities --data corpus/bc5cdr`")
def train_evaluate(
    task: options.TaskToEvaluate,
    data: options.EvaluationData,
    names: options.LabelMap = None,
    limit: options.Limit = None,
    half: options.Half = None,
    baseline: options.Baselines = None,
    summary_words: options.SummaryWords = None,
    errors: options.ErrorsPage = None,
    calibration: options.CalibrationPlot = None,
    as_json: options.Json = False,
) -> int:
    """Measure answers on annotated data, through the worker's own pipeline.

    Intervals are 95 %, bootstrapped over records. With --errors a page to look through, gold and found
    side by side; it holds the notes' text and is for your eyes only.
    """
    from console.train.evaluate_command import evaluate

    return evaluate(
        *(task, data, names or [], limit, half, baseline or [], summary_words, errors, calibration),
        as_json=as_json,
    )


@train_verb("merge", epilog="Example: `notemill train merge adapter --output merged`")
def train_merge(
    adapter: train_options.Adapter,
    output: train_options.MergedOutput,
    weights: train_options.Weights = None,
    gguf: train_options.Gguf = None,
) -> int:
    """Merge an adapter into its weights, for serving elsewhere."""
    from console.train.adapter_commands import merge_adapter

    return merge_adapter(adapter, output, weights, gguf)


@train_verb("join", epilog="Example: `notemill train join adapter --data corpora/ncbi_disease`")
def train_join(
    adapter: train_options.Adapter,
    data: train_options.JoinData,
    weights: train_options.Weights = None,
    limit: train_options.JoinLimit = 120,
    as_json: options.Json = False,
) -> int:
    """Fit the ranking model of search, and the model that combines the adapter with the negation rules.

    The ranking model combines the adapter's decisions with words, embeddings, sections and entities. Without
    it the adapter decides searches alone. Give data with queries for things (annotated concepts) and for
    aspects (notes with headings). Notes with annotated negations also fit the negation model.
    """
    from console.train.adapter_commands import join_search

    return join_search(adapter, data, weights, limit, as_json)


@train_verb("lexicon", epilog="Example: `notemill train lexicon adapter --data notes.jsonl`")
def train_lexicon(
    adapter: train_options.Adapter,
    data: train_options.LexiconData,
    names: train_options.NamesFiles = None,
    as_json: options.Json = False,
) -> int:
    """Let an adapter know the names in annotated notes, wherever they stand.

    What was marked in most of its places is marked more readily from now on, and a word that hardly ever was
    is not marked alone. Names are kept as hashes.
    """
    from console.train.adapter_commands import add_names

    return add_names(adapter, data, names or [], as_json)


@annotate_verb("import", epilog="Example: `notemill annotate import export.json --output notes.jsonl`")
def annotate_import(
    source: train_options.AnnotatedSource,
    output: train_options.NotesOutput,
    names: train_options.LabelMap = None,
    as_json: options.Json = False,
) -> int:
    """Take annotated or corrected notes in, as `train prepare` reads them.

    From Label Studio (JSON), brat (a folder of .txt and .ann) or notes of our own form (.jsonl).
    """
    from console.train.import_annotations import import_notes

    return import_notes(source, output, names or [], as_json=as_json)
