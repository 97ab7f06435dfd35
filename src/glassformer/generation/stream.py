"""A continuation that is read while it is being written."""

from collections.abc import Iterator, Sequence

from glassformer.generation.continuation import Generation, Step, gather


class TextStream(Iterator[str]):
    """Iterates over pieces of text, each of whole characters and none empty; joined they are `Generation.text`.

    Attributes:
        prompt_ids: what the model reads first.
        seed: the seed that repeats this continuation; None if nothing is drawn at random.
    """

    def __init__(self, steps: Iterator[Step], prompt_ids: Sequence[int], seed: int | None) -> None:
        self.prompt_ids = list(prompt_ids)
        self.seed = seed
        self._steps = steps
        self._done: list[Step] = []

    def __next__(self) -> str:
        for step in self.steps():
            if step.text:
                return step.text
        raise StopIteration

    def steps(self) -> Iterator[Step]:
        """The steps still to come, for who wants ids and log-probabilities as well as text."""
        for step in self._steps:
            self._done.append(step)
            yield step

    def finish(self) -> Generation:
        """Run to the end and return the whole continuation."""
        for _ in self.steps():
            pass
        return self.result

    @property
    def result(self) -> Generation:
        """The whole continuation, once the iteration has ended.

        Raises:
            GenerationError: while it has not.
        """
        return gather(self._done, self.prompt_ids, self.seed)
