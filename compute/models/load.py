"""Reads checkpoints from folders and from the hub, and writes them so that transformers opens them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError
from compute.models.checkpoint import Checkpoint, head_of, plain_config, quiet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILES = ("tokenizer.json", "sentencepiece.bpe.model", "vocab.json", "vocab.txt")
"""What a tokenizer is read from; one of them is enough."""


def from_folder(path: Path, subfolder: str | None = None) -> Checkpoint:
    """Load a classifier and its tokenizer from a folder, or from a subfolder of it.

    Raises UsageError when there is none, or when it lacks weights other than a classification head.
    """
    folder = path / (subfolder or "")
    if not (folder / "config.json").is_file():
        raise UsageError(f"no model in {folder}: expected a config.json there; check the path and the subfolder")
    return _load(str(path), subfolder=subfolder or "", revision=None)


def from_hub(repo: str, revision: str, subfolder: str | None = None) -> Checkpoint:
    """Load a classifier and its tokenizer from a repository of the hub at *revision*.

    Raises UsageError when the repository, the revision or the subfolder does not exist.
    """
    check_hub(repo, revision, subfolder)
    return _load(repo, subfolder=subfolder or "", revision=revision)


def check_hub(repo: str, revision: str, subfolder: str | None = None, *, config: str = "config.json") -> None:
    """Raise UsageError unless the hub (or its local cache) has a model there; fetches the file *config* only."""
    from huggingface_hub import errors, hf_hub_download

    where = f"{repo}/{subfolder}" if subfolder else repo
    try:
        hf_hub_download(repo, config, subfolder=subfolder, revision=revision)
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"no model repository {repo!r} on the hub: check the name, or log in if it is private"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"model repository {repo!r} has no revision {revision!r}: check the commit") from None
    except errors.LocalEntryNotFoundError:
        raise UsageError(
            f"cannot reach the hub for {where!r}, and nothing of it is cached: check the network"
        ) from None
    except errors.EntryNotFoundError:
        raise UsageError(f"no {config} in {where!r} at {revision!r}: check the subfolder") from None
    except (errors.HFValidationError, errors.HTTPError, OSError) as error:
        raise UsageError(f"cannot fetch {where!r} from the hub: {_first_line(error)}") from None


def fetched(
    repo: str,
    revision: str,
    subfolder: str | None = None,
    *,
    config: str = "config.json",
    weights: Sequence[str] = ("*.safetensors", "*.bin"),
    others: Sequence[str] = ("*.json", "*.model", "*.txt"),
) -> Path:
    """Fetch a model's files from the hub at *revision*, safetensors where there are any; return their folder.

    *weights* are patterns of file names, of which the first that finds any counts; what *others* find comes along.
    Raises UsageError when the repository, the revision or the subfolder does not exist.
    """
    from huggingface_hub import snapshot_download

    check_hub(repo, revision, subfolder, config=config)
    beside = f"{subfolder}/" if subfolder else ""
    for wanted in weights:
        patterns = [f"{beside}{pattern}" for pattern in (wanted, *others)]
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns)) / beside
        if any(folder.glob(wanted)):
            return folder
    raise UsageError(f"no weights in {repo}{'/' if beside else ''}{beside}: expected {' or '.join(weights)}")


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write *checkpoint* as a folder that transformers' Auto classes open: safetensors, config, tokenizer."""
    with quiet():
        checkpoint.network().save_pretrained(folder)
        _fast_tokenizer(checkpoint).save_pretrained(folder)


def _load(source: str, *, subfolder: str, revision: str | None) -> Checkpoint:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    places: dict[str, Any] = {"subfolder": subfolder, "revision": revision or "main"}
    config = AutoConfig.from_pretrained(source, **places)
    with quiet():
        network, report = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, output_loading_info=True, weights_only=True, **places
        )
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    missing = set(report["missing_keys"])
    if lost := sorted(missing - head_of(tensors).keys()):
        raise UsageError(f"the model in {source!r} lacks {lost[0]!r} and {len(lost) - 1} more weights: get it anew")
    tensors = {name: tensor for name, tensor in tensors.items() if name not in missing}
    return Checkpoint(plain_config(config), tensors, _tokenizer(source, subfolder, revision))


def _tokenizer(source: str, subfolder: str, revision: str | None) -> str:
    """Read the tokenizer beside the weights, or else that of the whole repository.

    The files are looked for first: without any, AutoTokenizer makes up one that knows no word.
    """
    from transformers import AutoTokenizer

    for place in dict.fromkeys((subfolder, "")):
        if any(_exists(source, place, revision, name) for name in TOKENIZER_FILES):
            tokenizer = AutoTokenizer.from_pretrained(source, subfolder=place, revision=revision or "main")
            return str(tokenizer.backend_tokenizer.to_str())
    raise UsageError(f"no tokenizer in {source!r}: expected {' or '.join(TOKENIZER_FILES)} beside the weights")


def _exists(source: str, subfolder: str, revision: str | None, name: str) -> bool:
    from huggingface_hub import errors, hf_hub_download

    if revision is None:
        return (Path(source) / subfolder / name).is_file()
    try:
        hf_hub_download(source, name, subfolder=subfolder or None, revision=revision)
    except errors.EntryNotFoundError:
        return False
    return True


def _fast_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    ids = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "pad_token_id"}
    names = {f"{role}_token": tokenizer.id_to_token(checkpoint.config[field]) for role, field in ids.items()}
    others = {f"{role}_token": f"<{role}>" for role in ("unk", "mask")}
    present = {role: name for role, name in others.items() if tokenizer.token_to_id(name) is not None}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=checkpoint.max_length, **names, **present
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
