"""SmolLM2-135M on sums of two numbers of two digits, on one CPU core.

--config configs/smollm2_arithmetic.py --config.model.pretrained=PATH
--config configs/smollm2_arithmetic.py:three  numbers of three digits
--config configs/smollm2_arithmetic.py:tiny   any tiny model, in seconds

PATH is a model folder, a GGUF file or a name on the Hugging Face hub; the
default is fetched from there.
"""

from ml_collections import config_dict


def get_config(size: str = "full"):
  """Return the config; `size` is `full`, `three` or `tiny`."""
  if size not in ("full", "three", "tiny"):
    raise ValueError(f"smollm2_arithmetic.py:{size}: give full, three or tiny")
  config = config_dict.ConfigDict()
  config.seed = 0
  config.task = dict(
    kind="Sums",
    min_digits=2,  # of a number
    max_digits=2,
    num_examples=3,  # sums with their answers, before the one asked
    max_prompt_tokens=48,
    max_step_tokens=3,  # of an answer: a space and two digits, then the rest
    max_steps=2,
  )
  config.model = dict(
    pretrained="HuggingFaceTB/SmolLM2-135M-Instruct",
    dtype="float32",  # of the computation
    param_dtype="float32",  # of the parameters
  )
  config.search = dict(
    num_simulations=4,  # nodes expanded below the root, in a move
    num_candidates=8,  # steps sampled at a node
    max_depth=2,  # steps from the root to a leaf
    permission="checker",  # may ask what answers right
    discount=1.0,  # of the value, per step
    policy=dict(kind="gumbel"),
  )
  config.selfplay = dict(
    num_slots=32,  # problems under way at the same time
    num_moves=2,  # searches of each slot in an iteration
    num_targets=1,  # candidates of a state that are learned from
    ahead=0,  # rounds played before the one that is learned from
    push_every=1,  # iterations of learning after which its weights play
  )
  config.learner = dict(
    batch_size=16,  # problems, each with all of its states
    learning_rate=2e-5,  # peak, of AdamW
    warmup_steps=4,
    decay_steps=100,  # of the cosine
    weight_decay=0.0,
    value_rate=50.0,  # of the value head, which is new, x learning_rate
    kl_weight=0.02,  # holds the policy to the pretrained one
    average=0.8,  # decay per step of the average of the weights
    capacity=1024,  # problems in the replay buffer
    min_examples=16,  # problems before the first step
    reuse=4.0,  # times that a problem is used, at most
    max_steps=8,  # between two rounds of self-play
    worked=0,  # worked answers in the buffer from the start, to imitate
    learn_from="solutions",  # found in trees
    failure_share=0.25,  # of the states that teach a value alone, kept
  )
  config.mesh = dict(
    data=0,  # devices that batches are split over; 0: all that are left
    fsdp=1,  # devices that parameters and batches are split over
    tensor=1,  # devices that heads and hidden units are split over
    min_size=2**16,  # elements of the smallest array that is split
    gather="entry",  # parameters in self-play: all at "entry", or each "layer"
    actors=0,  # devices that play while the others learn; 0: all do both
  )
  config.train = dict(
    num_iterations=8,  # of self-play and learning
    evaluate_every=8,  # iterations
    checkpoint_every=4,  # iterations
    num_eval_problems=64,
    eval_batch_size=64,
    eval_simulations=4,
  )
  if size == "three":
    config.task.update(min_digits=3, max_digits=3, max_prompt_tokens=64)
  if size == "tiny":
    config.task.num_examples = 1
    config.search.update(num_simulations=2, num_candidates=3)
    config.selfplay.num_slots = 4
    config.learner.update(batch_size=2, capacity=16, min_examples=1)
    config.learner.max_steps = 2
    config.train.update(num_iterations=4, evaluate_every=2, checkpoint_every=2)
    config.train.update(num_eval_problems=4, eval_simulations=2)
  return config
