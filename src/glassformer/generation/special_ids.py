"""The ids that begin and end a text, as a model's config.json and generation_config.json name them.

Files name ids outside the vocabulary often enough (a small vocabulary under GPT-2's default 50256): those can neither
be read nor chosen, and are passed over.
"""

from glassformer.generation.errors import PromptError
from glassformer.models.config import GenerationConfig, GPT2Config


def end_ids(config: GPT2Config, recommended: GenerationConfig) -> frozenset[int]:
    """Ids that end a continuation: those of generation_config.json, else of config.json."""
    named = recommended.eos_token_ids or config.eos_token_ids
    return frozenset(token for token in named if token < config.vocab_size)


def start_id(config: GPT2Config, recommended: GenerationConfig) -> int:
    """The id that stands for an empty prompt: beginning of text, else end of text, which GPT-2 puts between texts.

    Raises:
        PromptError: if the vocabulary holds neither.
    """
    for named in (recommended.bos_token_id, config.bos_token_id, recommended.eos_token_id, config.eos_token_id):
        for token in (named,) if isinstance(named, int) else named or ():
            if token < config.vocab_size:
                return token
    raise PromptError("the prompt is empty and the model names no begin-of-text token to start from; give a prompt")
