"""Ask a language model a question, and search for its answer step by step.

python -m alphallm.solve --model FOLDER_OR_GGUF_OR_HUB_NAME "What is 17 + 25?"
    [--questions FILE] [--num_simulations 8] [--num_candidates 4] [--workdir W]
    [--tree OUT.html]
python -m alphallm.solve --config configs/quickstart.py --workdir W [PROBLEMS]
    [--num_simulations 16] [--tree OUT.html]

A step is a line of text. With --num_simulations=0 the model just writes, else
every step is searched for, and nothing but the model is asked: a model that was
trained here values a text by its value head. One that has none cannot tell
right from wrong: its steps are valued by the mean probability of their tokens,
so that the search finds what the model believes in several lines ahead.

With --config, a run that was trained solves problems of its task: those of a
file or folder, or else one of the test split, of which --seed says which.
"""

import dataclasses
import pathlib
import time

import jax
import numpy as np
from absl import flags

from alphallm import (
  asking,
  judges,
  metrics,
  models,
  phases,
  program,
  runs,
  solving,
  viewer,
)
from alphallm import config as config_lib
from alphallm.search import moves as moves_lib
from alphallm.tasks import questions as questions_lib

_MODEL = flags.DEFINE_string("model", None, "A folder, GGUF file or hub name.")
_QUESTIONS = flags.DEFINE_string(
  "questions", None, 'Text, a question a line, or JSON lines with "question".'
)
_EXAMPLES = flags.DEFINE_string(
  "examples", None, 'JSON lines with "question" and "answer", shown before.'
)
_PLAIN = flags.DEFINE_bool(
  "plain", False, "Ask in plain text, though the model has a chat template."
)
_SIMULATIONS = flags.DEFINE_integer(
  "num_simulations", 8, "Of a step's search; 0: none.", lower_bound=0
)
_CANDIDATES = flags.DEFINE_integer(
  "num_candidates", 4, "Steps to choose from.", lower_bound=1
)
_STEP_TOKENS = flags.DEFINE_integer(
  "step_tokens", 32, "Tokens of a step, at most.", lower_bound=1
)
_MAX_STEPS = flags.DEFINE_integer(
  "max_steps", 16, "Steps of an answer, at most.", lower_bound=1
)
_TEMPERATURE = flags.DEFINE_float(
  "temperature", 1.0, "Of the tokens; 0: the most probable.", lower_bound=0.0
)
_BATCH = flags.DEFINE_integer(
  "batch", 8, "Questions that are searched side by side.", lower_bound=1
)
_DTYPE = flags.DEFINE_enum(
  "dtype", "float32", ["float32", "bfloat16"], "Of weights and computation."
)
_INT8 = flags.DEFINE_bool(
  "int8", False, "The layers multiply in int8: faster, and less exact."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)

_FLAGS = (
  _MODEL,
  _QUESTIONS,
  _EXAMPLES,
  _PLAIN,
  _SIMULATIONS,
  _CANDIDATES,
  _STEP_TOKENS,
  _MAX_STEPS,
  _TEMPERATURE,
  _BATCH,
  _DTYPE,
  _INT8,
  _SEED,
)


# Of these flags, those that a trained run takes too.
_OF_RUNS = ("num_simulations", "batch", "seed")


def _read(reader, flag: str):
  try:
    return reader(flags.FLAGS[flag].value)
  except ValueError as error:
    raise config_lib.UserError(f"--{flag}: {error}") from error


def _asked(argv) -> list[questions_lib.Question]:
  """Return the questions of the command line."""
  if bool(argv[1:]) == bool(_QUESTIONS.value):
    raise config_lib.UserError('give one "question", or --questions=FILE')
  if _QUESTIONS.value:
    return _read(questions_lib.read_asked, "questions")
  if not argv[1].strip():
    raise config_lib.UserError("the question is empty")
  return [questions_lib.asked(argv[1])]


def _load(asked):
  """Return the network, its parameters, how many, the task and the search."""
  examples = ()
  if _EXAMPLES.value:
    examples = tuple(_read(questions_lib.read_questions, "examples"))
  sizes = {"step_tokens": _STEP_TOKENS.value}
  try:
    tokenizer = models.load_tokenizer(_MODEL.value)
    model, params = models.load(_MODEL.value, dtype=_DTYPE.value)
    size = sum(x.size for x in jax.tree.leaves(params))
    task = asking.make_task(
      tokenizer,
      asked,
      max_context=model.config.max_context,
      max_steps=_MAX_STEPS.value,
      examples=examples,
      as_chat=tokenizer.marks.chat_template is not None and not _PLAIN.value,
      **sizes,
    )
    has_value = bool(np.any(params["params"]["value_head"]["kernel"]))
    if _INT8.value:
      model, params = models.quantize(model, params)
  except ValueError as error:
    raise config_lib.UserError(str(error)) from error
  search = asking.make_search(
    simulations=_SIMULATIONS.value,
    candidates=_CANDIDATES.value,
    temperature=_TEMPERATURE.value,
    has_value=has_value,
    **sizes,
  )
  return model, params, size, task, search


def main(argv) -> None:
  if (_MODEL.value is None) == (program.CONFIG.value is None):
    raise config_lib.UserError(
      "give --model of a language model, or --config and --workdir of a run"
    )
  runs.tree_path()  # Refused now, not when all is done.
  if _MODEL.value is None:
    _solve_problems(argv)
  else:
    _answer_questions(argv)


def _answer_questions(argv) -> None:
  """Ask a language model."""
  began = time.monotonic()
  asked = _asked(argv)
  model, params, size, task, search = _load(asked)
  precision = f"{_DTYPE.value} and int8" if _INT8.value else _DTYPE.value
  print(
    f"{_MODEL.value}: {size:,} parameters, {precision}, "
    f"{jax.devices()[0].platform}, loaded in {time.monotonic() - began:.1f} s; "
    f"{_SIMULATIONS.value} simulations a step, {search.num_candidates} "
    f"candidates, valued by the {search.leaf_value}",
    flush=True,
  )
  run, trees = _searcher(model.apply, task, search)
  batch = min(_BATCH.value, len(asked))
  rng_key = jax.random.key(_SEED.value)
  found: list[asking.Answer] = []
  while len(found) < len(asked):
    some = asked[len(found) : len(found) + batch]
    key = jax.random.fold_in(rng_key, len(found))
    padded = [*some, *[None] * (batch - len(some))]
    for answer in asking.ask(run, params, task, padded, key, began=began):
      print(answer.describe(), flush=True)
      found.append(answer)
  verdicts = {None: "", True: "right", False: "wrong"}
  told = [(answer.question, verdicts[answer.right]) for answer in found]
  _save(trees, pathlib.Path(_MODEL.value).name, told)
  _summarize(found, time.monotonic() - began)


def _solve_problems(argv) -> None:
  """Solve problems of the task of a trained run."""
  for flag in _FLAGS:
    if flag.present and flag.name not in _OF_RUNS:
      raise config_lib.UserError(f"--{flag.name} goes with --model only")
  if not program.WORKDIR.value:
    raise config_lib.UserError("--config needs --workdir, where the run is")
  if argv[1:] and _SEED.present:
    raise config_lib.UserError(
      "--seed chooses a problem where no file is given"
    )
  began = time.monotonic()
  workdir = pathlib.Path(program.WORKDIR.value)
  config = phases.plain(program.CONFIG.value, workdir)
  run = judges.guided(config_lib.make_run(config, workdir))
  simulations = run.train.eval_simulations
  if _SIMULATIONS.present:
    simulations = _SIMULATIONS.value
  least = run.search.policy.least_simulations
  if simulations < least:
    raise config_lib.UserError(
      f"--num_simulations={simulations}: the policy of this run's search needs "
      f"at least {least}"
    )
  params, iteration = runs.load(run, workdir)
  first = 0 if argv[1:] else _SEED.value
  problems = runs.read_problems(run, argv[1] if argv[1:] else None, first + 1)
  problems = jax.tree.map(lambda x: np.asarray(x)[first:], problems)
  search = config_lib.for_evaluation(run, simulations)
  print(
    f"iteration {iteration} of {workdir}, {jax.devices()[0].platform}; "
    f"{simulations} simulations a move, may ask: {search.permission}",
    flush=True,
  )
  search_moves, trees = _searcher(run.model.apply, run.task, search)
  found = solving.solve(
    search_moves,
    params,
    run.task,
    problems,
    jax.random.key(run.seed),
    first=first,
    batch_size=_BATCH.value,
  )
  _save(trees, run.task.name, [(told["problem"], None) for told in found])
  seconds = time.monotonic() - began
  count = sum(told["solved"] for told in found)
  print(f"{seconds:.1f} s; solved: {count} of {len(found)}")
  figures = {"solved": count / len(found), "seconds": seconds}
  path = metrics.write_summary(
    workdir,
    figures | {"solutions": found},
    program="solve",
    config=program.CONFIG.value.to_dict(),
    seeds=[run.seed],
  )
  print(f"figures: {path}")


def _searcher(apply_fn, task, search):
  """Return the search, and where the recorders of its calls go."""
  trees: list[viewer.Recorder] = []
  run = moves_lib.moves(apply_fn, task, search)
  if runs.tree_path():
    run = viewer.recorded(run, task, trees)
  return run, trees


def _save(trees, title, told) -> None:
  """Write what was recorded; `told` has the name and outcome of each."""
  where = runs.tree_path()
  if not where:
    return
  moves = [(recorder, row) for recorder in trees for row in recorder.rows]
  sides = [
    recorder.side(row, "", outcome)
    for (recorder, row), (_, outcome) in zip(moves, told, strict=False)
  ]
  names = [name for name, _ in told]
  path = viewer.save(where, viewer.page_data(title, names, [sides]))
  print(f"trees, to be opened in a browser: {path}")


def _summarize(found: list[asking.Answer], seconds: float) -> None:
  """Print what all answers have cost, and keep it where there is a workdir."""
  first = found[0].steps[0]["seconds"]
  print(f"{seconds:.1f} s, {first:.1f} s of them to the first step")
  figures = {
    "questions": len(found),
    "seconds": seconds,
    "first_step_seconds": first,
    **{name: sum(a.cost[name] for a in found) for name in found[0].cost},
  }
  known = [answer.right for answer in found if answer.right is not None]
  if known:
    figures["right"] = float(np.mean(known))
    print(f"right: {sum(known)} of {len(known)}")
  if not program.WORKDIR.value:
    return
  path = metrics.write_summary(
    program.WORKDIR.value,
    figures | {"answers": [dataclasses.asdict(answer) for answer in found]},
    program="solve",
    config={flag.name: flag.value for flag in _FLAGS},
    seeds=[_SEED.value],
  )
  print(f"figures: {path}")


if __name__ == "__main__":
  program.run(main, needs=[], takes=1)
